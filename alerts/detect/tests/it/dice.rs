//! Noise that is the same on every machine.

/// A generator (splitmix64).
#[derive(Debug)]
pub(crate) struct Dice(pub(crate) u64);

#[allow(dead_code)]
impl Dice {
    /// Uniform in [0, 1).
    pub(crate) fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((bits ^ (bits >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Exponential with mean 1.
    pub(crate) fn exponential(&mut self) -> f64 {
        -(1.0 - self.uniform()).ln()
    }

    /// Power law: P(X > x) = x^-shape for x of 1 and more.
    pub(crate) fn power_law(&mut self, shape: f64) -> f64 {
        (1.0 - self.uniform()).powf(-1.0 / shape)
    }

    /// Standard normal, nearly: twelve uniforms less six.
    pub(crate) fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.uniform()).sum::<f64>() - 6.0
    }

    /// Poisson, by counting exponential waits.
    pub(crate) fn poisson(&mut self, mean: f64) -> f64 {
        let (mut count, mut waited) = (0.0, self.exponential());
        while waited < mean {
            count += 1.0;
            waited += self.exponential();
        }
        count
    }
}
