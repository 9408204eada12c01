//! Vectors in a byte a number: close enough to tell which are near, and small enough to be kept for thousands of memories.

use std::sync::Arc;

/// A vector of length 1 in bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct Quantised {
    numbers: Arc<[i8]>,
    scale: f32,
}

impl Quantised {
    /// None of what has no direction.
    pub fn of(vector: &[f32]) -> Option<Self> {
        let length = vector.iter().map(|number| number * number).sum::<f32>().sqrt();
        let largest = vector.iter().fold(0.0_f32, |most, number| most.max(number.abs()));
        if !length.is_finite() || largest <= 0.0 {
            return None;
        }
        let numbers = vector.iter().map(|number| (number / largest * 127.0).round() as i8).collect();
        Some(Self { numbers, scale: largest / 127.0 / length })
    }

    /// From -1 to 1, within a hundredth; 0 where they are of different dimensions.
    pub fn cosine(&self, other: &Self) -> f32 {
        if self.numbers.len() != other.numbers.len() {
            return 0.0;
        }
        let dot: i32 = self.numbers.iter().zip(&*other.numbers).map(|(a, b)| i32::from(*a) * i32::from(*b)).sum();
        dot as f32 * self.scale * other.scale
    }

    pub(super) fn bytes(&self) -> usize {
        self.numbers.len() + size_of::<Self>()
    }
}
