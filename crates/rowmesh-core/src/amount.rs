//! Numbers that can be added up without losing anything, whatever type a database keeps them in: what counters are made of. Compares nothing:
//! which of two values is larger is told by `show` and `scope`.

use std::str::FromStr;

use bigdecimal::num_bigint::BigInt;
use bigdecimal::{BigDecimal, ToPrimitive};

use crate::encode::{Malformed, Reader, Writer};
use crate::limits;
use crate::value::Value;

/// An exact finite number. Sums do not depend on the order in which they are made, those of doubles neither.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Amount(BigDecimal);

impl Amount {
    /// The number that a value is; none for NULL, texts, truth, NaN and what is infinite, and for decimals that no database holds: with an
    /// exponent, or longer than [`limits::AMOUNT_DIGITS_MAX`]. So what a peer sends cannot make sums large.
    pub fn of(value: &Value) -> Option<Amount> {
        match value {
            Value::Integer(number) => Some(Amount(BigDecimal::from(*number))),
            // Every double is a finite decimal.
            Value::Real(number) => BigDecimal::try_from(*number).ok().map(Amount),
            Value::Decimal(text) if is_plain(text) => BigDecimal::from_str(text).ok().map(Amount),
            _ => None,
        }
    }

    /// What has to be added to `before` to come to `after`; none where one of them is no number.
    pub fn difference(before: &Value, after: &Value) -> Option<Amount> {
        Some(Amount(aligned_sum(&Amount::of(after)?.0, &-Amount::of(before)?.0)))
    }

    /// Adds another.
    pub fn add(&mut self, other: &Amount) {
        self.0 = aligned_sum(&self.0, &other.0);
    }

    /// A value with this much more, of its kind: a double is the one next to the exact sum, an integer that gets a fraction becomes a double, and
    /// what is too large for either a decimal, which no column of integers or doubles takes. None where it is no number.
    pub fn added_to(&self, value: &Value) -> Option<Value> {
        let sum = aligned_sum(&Amount::of(value)?.0, &self.0);
        let fitting = match value {
            Value::Decimal(_) => None,
            Value::Integer(_) if sum.is_integer() => sum.to_i64().map(Value::Integer),
            _ => sum.to_string().parse::<f64>().ok().filter(|number| number.is_finite()).map(Value::Real),
        };
        Some(fitting.unwrap_or_else(|| Value::Decimal(sum.to_plain_string())))
    }

    /// Appends the bytes.
    pub fn encode(&self, out: &mut Writer) {
        let (digits, scale) = self.0.as_bigint_and_exponent();
        out.bytes(&digits.to_signed_bytes_be());
        out.signed(scale);
    }

    /// Reads what [`Amount::encode`] wrote.
    ///
    /// # Errors
    /// If the bytes are anything else.
    pub fn decode(input: &mut Reader<'_>) -> Result<Amount, Malformed> {
        let digits = BigInt::from_signed_bytes_be(input.bytes("digits of an amount", limits::AMOUNT_DIGITS_MAX)?);
        let scale = input.signed("scale of an amount")?;
        if scale.unsigned_abs() > limits::AMOUNT_SCALE_MAX {
            return Err(Malformed::Invalid("scale of an amount"));
        }
        Ok(Amount(BigDecimal::new(digits, scale)))
    }
}

fn is_plain(text: &str) -> bool {
    let fraction = text.split_once('.').map_or(0, |(_, fraction)| fraction.len());
    text.len() <= limits::AMOUNT_DIGITS_MAX
        && fraction as u64 <= limits::AMOUNT_SCALE_MAX
        && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'-'))
}

/// The sum with as many digits behind the point as the one that has more: also where one is zero, so that it depends on no order.
fn aligned_sum(a: &BigDecimal, b: &BigDecimal) -> BigDecimal {
    let scale = a.fractional_digit_count().max(b.fractional_digit_count()).max(0);
    a.with_scale(scale) + b.with_scale(scale)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decimal(text: &str) -> Value {
        Value::Decimal(text.into())
    }

    fn added(before: &Value, after: &Value, to: &Value) -> Option<Value> {
        Amount::difference(before, after)?.added_to(to)
    }

    #[test]
    fn what_one_took_is_taken_from_what_the_other_left() {
        assert_eq!(added(&10.into(), &8.into(), &7.into()), Some(5.into()));
        assert_eq!(added(&decimal("10.50"), &decimal("9.25"), &decimal("1.00")), Some(decimal("-0.25")));
        assert_eq!(added(&decimal("1.50"), &decimal("1.00"), &decimal("0.5")), Some(decimal("0.00")));
        assert_eq!(added(&Value::Real(10.5), &Value::Real(10.25), &Value::Real(1.0)), Some(Value::Real(0.75)));
        assert_eq!(added(&10.into(), &Value::Real(9.5), &7.into()), Some(Value::Real(6.5)));
    }

    #[test]
    fn thousand_digits_are_added_exactly() {
        let (nines, one) = ("9".repeat(1_000), format!("0.{}1", "0".repeat(999)));
        let sum = added(&decimal("0"), &decimal(&one), &decimal(&nines));
        assert_eq!(sum, Some(decimal(&format!("{nines}.{}1", "0".repeat(999)))));
    }

    #[test]
    fn what_is_no_number_is_not_added_and_what_does_not_fit_is_not_bent() {
        for value in [Value::Null, Value::text("7"), Value::Boolean(true), decimal("NaN"), decimal("Infinity")] {
            assert_eq!(Amount::of(&value), None, "{value:?}");
        }
        for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(Amount::of(&Value::Real(number)), None);
        }
        assert_eq!(Amount::default().added_to(&Value::Null), None);
        assert_eq!(added(&0.into(), &1.into(), &i64::MAX.into()), Some(decimal("9223372036854775808")));
        let twice = added(&Value::Real(0.0), &Value::Real(f64::MAX), &Value::Real(f64::MAX));
        assert!(matches!(&twice, Some(Value::Decimal(digits)) if digits.len() == 309), "{twice:?}");
    }

    #[test]
    fn a_decimal_that_no_database_holds_is_no_number() {
        let long = "9".repeat(limits::AMOUNT_DIGITS_MAX + 1);
        let fine = format!("0.{}1", "0".repeat(limits::AMOUNT_SCALE_MAX as usize));
        for text in ["1e999999999", "1E-999999999", "+1", "1_000", " 1", "", ".", "-", "1.2.3", &long, &fine] {
            assert_eq!(Amount::of(&decimal(text)), None, "{text:.20}");
        }
        let mut bytes = Writer::default();
        bytes.bytes(&[1]);
        bytes.signed(i64::MIN);
        assert!(Amount::decode(&mut Reader::new(&bytes.0)).is_err());
    }

    fn any_number() -> impl Strategy<Value = Value> {
        let decimals = (any::<i128>(), 0..60_usize).prop_map(|(digits, scale)| {
            let text = BigDecimal::new(digits.into(), scale as i64).to_plain_string();
            Value::Decimal(text)
        });
        prop_oneof![
            any::<i64>().prop_map(Value::Integer),
            any::<f64>().prop_filter("finite", |number| number.is_finite()).prop_map(Value::Real),
            decimals,
        ]
    }

    proptest! {
        #[test]
        fn sums_do_not_depend_on_their_order(numbers in proptest::collection::vec(any_number(), 0..8), turn in 0..8_usize) {
            let sum = |numbers: &[Value]| {
                let mut sum = Amount::default();
                numbers.iter().filter_map(Amount::of).for_each(|number| sum.add(&number));
                let mut bytes = Writer::default();
                sum.encode(&mut bytes);
                (sum, bytes.0)
            };
            let mut turned = numbers.clone();
            turned.rotate_left(turn.min(numbers.len()));
            turned.reverse();
            prop_assert_eq!(sum(&numbers), sum(&turned), "to the byte");
        }

        #[test]
        fn amounts_survive_encoding_and_every_number_is_held_exactly(number in any_number()) {
            let amount = Amount::of(&number).expect("a number");
            let mut bytes = Writer::default();
            amount.encode(&mut bytes);
            let mut input = Reader::new(&bytes.0);
            prop_assert_eq!(Amount::decode(&mut input).expect("decodes"), amount);
            prop_assert!(input.end("amount").is_ok());
            let nothing = Amount::default();
            if number != Value::Real(-0.0) {
                prop_assert_eq!(nothing.added_to(&number), Some(number));
            }
        }
    }
}
