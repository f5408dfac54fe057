//! Ranks whose popularity falls with a power of the rank.

use crate::Random;

/// Draws ranks 0 to n − 1, rank r with a probability proportional to 1 / (r + 1)^exponent.
pub struct Zipf {
    /// The probability of this rank or a lower one.
    up_to: Vec<f64>,
}

impl Zipf {
    /// A distribution over `ranks` ranks, at least one.
    #[must_use]
    pub fn new(ranks: u32, exponent: f64) -> Self {
        let mut sum = 0.0;
        let mut up_to: Vec<f64> = (1..=ranks.max(1))
            .map(|rank| {
                sum += f64::from(rank).powf(-exponent);
                sum
            })
            .collect();
        for share in &mut up_to {
            *share /= sum;
        }
        Zipf { up_to }
    }

    /// The next rank.
    #[expect(clippy::cast_possible_truncation, reason = "there are at most u32::MAX ranks")]
    pub fn draw(&self, random: &mut Random) -> u32 {
        let at = random.unit();
        self.up_to.partition_point(|share| *share <= at).min(self.up_to.len() - 1) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn popularity_falls_as_the_formula_says() {
        let zipf = Zipf::new(100, 1.0);
        let mut random = Random::new(3);
        let mut counts = [0_u32; 100];
        for _ in 0..200_000 {
            counts[zipf.draw(&mut random) as usize] += 1;
        }
        let ratio = f64::from(counts[0]) / f64::from(counts[9]);
        assert!((8.5..11.5).contains(&ratio), "rank 1 against rank 10: {ratio}");
        assert!(counts.iter().all(|count| *count > 0));
    }
}
