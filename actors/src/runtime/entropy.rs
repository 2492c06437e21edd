//! Random bytes.

#[cfg(feature = "simulation")]
use super::simulated;

/// Returns unpredictable random bytes.
pub fn bytes<const N: usize>() -> [u8; N] {
    #[cfg(feature = "simulation")]
    if let Some(scheduler) = simulated::current() {
        return std::array::from_fn(|_| scheduler.random() as u8);
    }
    rand::random()
}
