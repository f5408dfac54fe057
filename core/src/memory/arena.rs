//! Memory that never moves: a range of addresses reserved at once, whose pages cost nothing until they are
//! written. Slots in it are found by their number, by readers that hold no lock.

#[cfg(not(feature = "shuttle"))]
pub(super) use reserved::Arena;

/// What is valid when all of its bytes are zero: what fresh pages hold.
///
/// # Safety
/// The all-zero bit pattern is a valid value, equal to `Default::default()` in meaning, and dropping it does nothing.
pub(super) unsafe trait Zeroed: Default {}

#[cfg(not(feature = "shuttle"))]
mod reserved {
    use std::marker::PhantomData;
    use std::ptr::NonNull;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::Zeroed;

    /// `len` zeroed `T`s at fixed addresses. What is in them is not dropped with the arena.
    pub(in crate::memory) struct Arena<T> {
        base: NonNull<T>,
        len: usize,
        /// What ends with it.
        _mapping: Mapping,
        has_huge_pages: AtomicBool,
        holds: PhantomData<T>,
    }

    /// A range of addresses.
    struct Mapping {
        base: NonNull<u8>,
        bytes: usize,
    }

    // SAFETY: an arena is a fixed array that hands out shared references only.
    unsafe impl<T: Send> Send for Arena<T> {}
    // SAFETY: as above.
    unsafe impl<T: Sync> Sync for Arena<T> {}

    impl<T: Zeroed> Arena<T> {
        /// Reserves room for `len` of them, at least one; none where the address space is short.
        pub fn new(len: usize) -> Option<Self> {
            let len = len.max(1);
            let bytes = len.checked_mul(size_of::<T>())?.max(1);
            // So that huge pages can begin where it begins.
            let padding = if bytes < HUGE_PAGE { 0 } else { HUGE_PAGE };
            let mapping = Mapping::reserve(bytes.checked_add(padding)?)?;
            let offset = if padding == 0 { 0 } else { mapping.base.align_offset(HUGE_PAGE) };
            // SAFETY: less than `padding`, which was reserved beside the bytes.
            let base = unsafe { mapping.base.add(offset) }.cast();
            Some(Arena {
                base,
                len,
                _mapping: mapping,
                has_huge_pages: AtomicBool::new(padding == 0),
                holds: PhantomData,
            })
        }

        /// Is told that all up to and with `at` is in use, or soon will be: when it is much, it is worth huge pages.
        /// Then a lookup that misses the processor's caches need not miss its page tables too.
        #[inline]
        pub fn reached(&self, at: usize) {
            if at * size_of::<T>() >= WORTH_IT && !self.has_huge_pages.load(Ordering::Relaxed) {
                self.advise();
            }
        }

        #[cold]
        fn advise(&self) {
            self.has_huge_pages.store(true, Ordering::Relaxed);
            let (at, bytes) = (self.base.as_ptr().cast(), self.len * size_of::<T>());
            // SAFETY: advice on our own mapping; a kernel that does not take it changes nothing.
            unsafe { libc::madvise(at, bytes, libc::MADV_HUGEPAGE) };
            // SAFETY: as above. What lies in small pages already is moved; the addresses stay.
            unsafe { libc::madvise(at, HUGE_PAGE, MADV_COLLAPSE) };
        }

        /// Reserves room for `len` of them, or for fewer where the address space is short: see [`Arena::len`].
        pub fn at_most(len: usize) -> Self {
            let mut len = len;
            loop {
                if let Some(arena) = Self::new(len) {
                    return arena;
                }
                assert!(len > 1, "the operating system gives not a single page");
                len /= 2;
            }
        }

        pub fn len(&self) -> usize {
            self.len
        }

        pub fn base(&self) -> *const u8 {
            self.base.as_ptr().cast_const().cast()
        }

        #[inline]
        pub fn get(&self, at: usize) -> &T {
            debug_assert!(at < self.len);
            // SAFETY: the mapping has `len` zeroed, so valid, `T`s, is aligned to a page, and lives as long as `self`.
            unsafe { self.base.add(at).as_ref() }
        }
    }

    /// The size of huge pages, where a processor of ours has them; elsewhere the advice does nothing.
    const HUGE_PAGE: usize = 2 << 20;
    /// From so many bytes in use on. So a small cache does not take more than it needs.
    const WORTH_IT: usize = HUGE_PAGE / 2;
    /// Linux 6.1.
    const MADV_COLLAPSE: libc::c_int = 25;

    impl Mapping {
        fn reserve(bytes: usize) -> Option<Self> {
            let (prot, flags) = (
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
            );
            // SAFETY: a new private mapping at an address of the kernel's choice touches nothing that exists.
            let at = unsafe { libc::mmap(std::ptr::null_mut(), bytes, prot, flags, -1, 0) };
            if at == libc::MAP_FAILED {
                return None;
            }
            NonNull::new(at.cast()).map(|base| Mapping { base, bytes })
        }
    }

    impl Drop for Mapping {
        fn drop(&mut self) {
            // SAFETY: the mapping was made by `reserve` with this length; the arena, and so every reference into it,
            // ends with it.
            unsafe { libc::munmap(self.base.as_ptr().cast(), self.bytes) };
        }
    }
}

/// Under the model checker atomics are no plain numbers: the array is made value by value.
#[cfg(feature = "shuttle")]
pub(super) struct Arena<T>(Box<[T]>);

#[cfg(feature = "shuttle")]
impl<T: Zeroed> Arena<T> {
    pub fn new(len: usize) -> Option<Self> {
        (len <= 1 << 14).then(|| Self::at_most(len))
    }

    pub fn at_most(len: usize) -> Self {
        Arena((0..len.clamp(1, 1 << 12)).map(|_| T::default()).collect())
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn base(&self) -> *const u8 {
        self.0.as_ptr().cast()
    }

    pub fn reached(&self, _at: usize) {}

    pub fn get(&self, at: usize) -> &T {
        &self.0[at]
    }
}
