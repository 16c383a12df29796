//! Numbers as bytes that order as the numbers do.

use super::error::WideError;
use super::fields::Fields;

/// The number's order among `i64`, as an unsigned number.
pub fn sortable_i64(n: i64) -> u64 {
    n as u64 ^ 1 << 63
}

/// The number that [`sortable_i64`] made `sortable` of.
pub fn unsortable_i64(sortable: u64) -> i64 {
    (sortable ^ 1 << 63) as i64
}

/// A score of a sorted set: any number, infinities included. Both zeros are the same score and stand at the same place; a
/// member's row keeps which of them it is, since clients are told.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Score(f64);

impl Score {
    /// The score of a number.
    pub fn new(number: f64) -> Result<Self, WideError> {
        if number.is_nan() {
            return Err(WideError::NotANumber);
        }
        Ok(Self(number))
    }

    /// The number.
    pub fn get(self) -> f64 {
        self.0
    }

    /// Its order among scores, as an unsigned number: a positive number sets the sign bit, a negative one inverts all
    /// bits.
    pub fn sortable(self) -> u64 {
        // Adding positive zero turns the negative one into it and changes nothing else.
        let number = self.0 + 0.0;
        let bits = number.to_bits();
        if number.is_sign_negative() { !bits } else { bits | 1 << 63 }
    }

    /// The score that [`sortable`](Self::sortable) made `sortable` of; of zeros the positive one.
    pub fn from_sortable(sortable: u64) -> Result<Self, WideError> {
        let bits = if sortable >> 63 == 0 { !sortable } else { sortable ^ 1 << 63 };
        if bits == 1 << 63 {
            return Err(WideError::Malformed { what: "a score", reason: "a negative zero has no place of its own" });
        }
        Self::from_bits(bits)
    }

    /// The value of a member's row: the number as IEEE 754 has it, big-endian.
    pub fn encode(self) -> [u8; 8] {
        self.0.to_bits().to_be_bytes()
    }

    /// The score that the value of a member's row says.
    pub fn decode(row: &[u8]) -> Result<Self, WideError> {
        let mut fields = Fields::new("a score", row);
        let bits = fields.u64()?;
        fields.done()?;
        Self::from_bits(bits)
    }

    fn from_bits(bits: u64) -> Result<Self, WideError> {
        let number = f64::from_bits(bits);
        if number.is_nan() {
            return Err(WideError::Malformed { what: "a score", reason: "it is not a number" });
        }
        Ok(Self(number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn number() -> impl Strategy<Value = f64> {
        let special =
            [0.0, -0.0, 1.0, -1.0, f64::INFINITY, f64::NEG_INFINITY, f64::MIN_POSITIVE, -5e-324, f64::MAX, 0.1];
        prop_oneof![prop::sample::select(special.to_vec()), any::<f64>().prop_filter("a number", |n| !n.is_nan())]
    }

    proptest! {
        #[test]
        fn scores_order_as_their_sortable_form(a in number(), b in number()) {
            let (x, y) = (Score::new(a).unwrap(), Score::new(b).unwrap());
            prop_assert_eq!(x.sortable().cmp(&y.sortable()), a.partial_cmp(&b).unwrap());
            prop_assert_eq!(Score::from_sortable(x.sortable()).unwrap().get(), a);
            prop_assert_eq!(Score::decode(&x.encode()).unwrap().get().to_bits(), a.to_bits());
        }

        #[test]
        fn any_sortable_form_is_a_score_or_refused(sortable: u64) {
            if let Ok(score) = Score::from_sortable(sortable) {
                prop_assert_eq!(score.sortable(), sortable);
            }
        }

        #[test]
        fn integers_order_as_their_sortable_form(a: i64, b: i64) {
            prop_assert_eq!(sortable_i64(a).cmp(&sortable_i64(b)), a.cmp(&b));
            prop_assert_eq!(unsortable_i64(sortable_i64(a)), a);
        }
    }

    #[test]
    fn what_is_no_score_is_refused() {
        assert_eq!(Score::new(f64::NAN), Err(WideError::NotANumber));
        for bits in [f64::NAN.to_bits(), u64::MAX] {
            assert!(Score::from_bits(bits).is_err());
        }
        assert!(Score::from_sortable(0).is_err() && Score::from_sortable(u64::MAX).is_err());
        assert!(Score::from_sortable((1 << 63) - 1).is_err(), "the negative zero");
        assert_eq!(Score::new(-0.0).unwrap().sortable(), 1 << 63);
    }
}
