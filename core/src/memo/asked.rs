//! What a function may be asked about its arguments and results, where somebody asks.

/// Tags of a result, by the argument.
pub trait TagsOf<A: ?Sized> {
    /// Those beside the templates of [`CachedOptions::tags`](super::CachedOptions::tags).
    fn tags_of(&self, argument: &A) -> Vec<String>;
}

/// Whether a result is not kept.
pub trait Unless<T: ?Sized> {
    /// True where it is not.
    fn passes(&self, result: &T) -> bool;
}

/// Nobody asks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unasked;

/// A function of the caller.
#[derive(Clone, Copy, Debug)]
pub struct By<G>(pub(super) G);

impl<A: ?Sized> TagsOf<A> for Unasked {
    fn tags_of(&self, _: &A) -> Vec<String> {
        Vec::new()
    }
}

impl<A: ?Sized, G: Fn(&A) -> Vec<String>> TagsOf<A> for By<G> {
    fn tags_of(&self, argument: &A) -> Vec<String> {
        (self.0)(argument)
    }
}

impl<T: ?Sized> Unless<T> for Unasked {
    fn passes(&self, _: &T) -> bool {
        false
    }
}

impl<T: ?Sized, G: Fn(&T) -> bool> Unless<T> for By<G> {
    fn passes(&self, result: &T) -> bool {
        (self.0)(result)
    }
}
