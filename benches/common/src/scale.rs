//! `SCALE`: how much of the full work is done.

/// What `SCALE` says: 1, the full work, where it is not set.
///
/// # Errors
/// A text for the user where it is not a number above 0.
pub fn scale() -> Result<f64, String> {
    match std::env::var("SCALE") {
        Err(_) => Ok(1.0),
        Ok(text) => match text.parse::<f64>() {
            Ok(scale) if scale > 0.0 && scale <= 100.0 => Ok(scale),
            _ => Err(format!("SCALE={text}: a number above 0, at most 100, is expected")),
        },
    }
}

/// `full` times `scale`, at least `least`.
#[must_use]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a count"
)]
pub fn scaled(full: usize, scale: f64, least: usize) -> usize {
    ((full as f64 * scale).round() as usize).max(least)
}
