//! Numbers as conditions compare them: by mathematical value, whatever type a database keeps them in. No arithmetic here.

use std::cmp::Ordering;

use crate::value::Value;

/// A number of a row or of a condition.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Number {
    /// A double; never NaN.
    Double(f64),
    /// Any other finite number, exactly.
    Exact(Decimal),
    /// A decimal that is infinite.
    Infinite {
        /// Whether it is below all others.
        negative: bool,
    },
}

/// An exact decimal: `0.DIGITS` times ten to the power of `point`, without zeros at either end of the digits.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(super) struct Decimal {
    negative: bool,
    digits: Vec<u8>,
    point: i64,
}

impl Number {
    /// The number that a value is; truth counts as 1 and 0, NaN is none.
    pub(super) fn of(value: &Value) -> Option<Number> {
        match value {
            Value::Boolean(truth) => Some(Number::truth(*truth)),
            Value::Integer(number) => Decimal::parse(&number.to_string()).map(Number::Exact),
            Value::Real(number) if number.is_nan() => None,
            Value::Real(number) => Some(Number::Double(*number)),
            Value::Decimal(text) => match text.as_str() {
                "Infinity" => Some(Number::Infinite { negative: false }),
                "-Infinity" => Some(Number::Infinite { negative: true }),
                text => Decimal::parse(text).map(Number::Exact),
            },
            _ => None,
        }
    }

    /// 1 or 0.
    pub(super) fn truth(truth: bool) -> Number {
        Number::Exact(Decimal {
            negative: false,
            digits: if truth { vec![b'1'] } else { Vec::new() },
            point: i64::from(truth),
        })
    }

    /// Whether it is zero.
    pub(super) fn is_zero(&self) -> bool {
        match self {
            Number::Double(number) => *number == 0.0,
            Number::Exact(decimal) => decimal.digits.is_empty(),
            Number::Infinite { .. } => false,
        }
    }

    /// Which is larger. Where one is a double the other is taken as the double next to it, as databases do:
    /// so the double 0.1 equals the literal 0.1.
    pub(super) fn compare(&self, other: &Number) -> Ordering {
        match (self, other) {
            (Number::Exact(a), Number::Exact(b)) => a.compare(b),
            _ => self.to_double().partial_cmp(&other.to_double()).unwrap_or(Ordering::Equal),
        }
    }

    fn to_double(&self) -> f64 {
        match self {
            Number::Double(number) => *number,
            Number::Exact(decimal) => decimal.to_double(),
            Number::Infinite { negative: true } => f64::NEG_INFINITY,
            Number::Infinite { negative: false } => f64::INFINITY,
        }
    }
}

impl Decimal {
    /// Reads `12`, `-0.50`, `.5`, `1e9`: digits with at most one point, then perhaps an exponent. Nothing else, no spaces.
    pub(super) fn parse(text: &str) -> Option<Decimal> {
        let (negative, rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
            None => (rest, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let mut digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
        digits.drain(..zeros);
        while digits.last() == Some(&b'0') {
            digits.pop();
        }
        if digits.is_empty() {
            return Some(Decimal::default());
        }
        let point = i64::try_from(whole.len()).ok()? - i64::try_from(zeros).ok()? + i64::from(exponent);
        Some(Decimal { negative, digits, point })
    }

    fn compare(&self, other: &Decimal) -> Ordering {
        let sign = |decimal: &Decimal| match (decimal.digits.is_empty(), decimal.negative) {
            (true, _) => 0,
            (false, true) => -1,
            (false, false) => 1,
        };
        let size = || self.point.cmp(&other.point).then_with(|| self.digits.cmp(&other.digits));
        match sign(self).cmp(&sign(other)) {
            Ordering::Equal if sign(self) == 0 => Ordering::Equal,
            Ordering::Equal if self.negative => size().reverse(),
            Ordering::Equal => size(),
            unequal => unequal,
        }
    }

    fn to_double(&self) -> f64 {
        let digits = std::str::from_utf8(&self.digits).unwrap_or_default();
        let sign = if self.negative { "-" } else { "" };
        format!("{sign}0.{digits}0e{}", self.point).parse().unwrap_or(f64::NAN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(left: &Value, right: &Value, expected: Ordering) {
        let (Some(a), Some(b)) = (Number::of(left), Number::of(right)) else {
            panic!("{left:?} and {right:?} are numbers");
        };
        assert_eq!(a.compare(&b), expected, "{left:?} against {right:?}");
        assert_eq!(b.compare(&a), expected.reverse(), "{right:?} against {left:?}");
    }

    fn decimal(text: &str) -> Value {
        Value::Decimal(text.into())
    }

    #[test]
    fn m3_equal_numbers_of_different_types_are_equal() {
        check(&decimal("1.10"), &decimal("1.1"), Ordering::Equal);
        check(&decimal("-0"), &Value::Integer(0), Ordering::Equal);
        check(&decimal("100"), &Value::Integer(100), Ordering::Equal);
        check(&decimal("1e2"), &Value::Integer(100), Ordering::Equal);
        check(&decimal("0.1"), &Value::Real(0.1), Ordering::Equal);
        check(&Value::Boolean(true), &Value::Integer(1), Ordering::Equal);
        check(&Value::Boolean(false), &Value::Real(-0.0), Ordering::Equal);
        check(&decimal("Infinity"), &Value::Real(f64::INFINITY), Ordering::Equal);
    }

    #[test]
    fn m3_unequal_numbers_are_told_apart_to_the_last_digit() {
        check(&Value::Integer(i64::MAX), &Value::Integer(i64::MAX - 1), Ordering::Greater);
        check(&decimal("0.1000000000000000000001"), &decimal("0.1"), Ordering::Greater);
        check(&decimal("-5"), &decimal("-40"), Ordering::Greater);
        check(&decimal("-1"), &decimal("0"), Ordering::Less);
        check(&decimal("9"), &decimal("10"), Ordering::Less);
        check(&decimal("0.09"), &decimal("0.1"), Ordering::Less);
        check(&decimal("-Infinity"), &Value::Integer(i64::MIN), Ordering::Less);
        check(&Value::Real(f64::INFINITY), &decimal("1e400"), Ordering::Equal);
    }

    #[test]
    fn what_is_no_number_is_none() {
        for text in ["", "-", ".", "1.2.3", "0x10", " 1", "1e", "1e99999999999", "NaN", "+-1"] {
            assert_eq!(Decimal::parse(text), None, "{text:?}");
        }
        assert_eq!(Number::of(&Value::Real(f64::NAN)), None);
        assert_eq!(Number::of(&decimal("NaN")), None);
        assert_eq!(Number::of(&Value::text("1")), None);
    }

    proptest! {
        #[test]
        fn decimals_compare_as_the_integers_that_they_are(a: i64, b: i64, scale in 0u32..12) {
            let shifted = |number: i64| decimal(&format!("{number}e-{scale}"));
            let (x, y) = (Number::of(&shifted(a)).unwrap(), Number::of(&shifted(b)).unwrap());
            prop_assert_eq!(x.compare(&y), a.cmp(&b));
        }

        #[test]
        fn a_double_equals_its_own_text(number in proptest::num::f64::NORMAL | proptest::num::f64::ZERO) {
            let text = Number::of(&decimal(&format!("{number:e}"))).unwrap();
            prop_assert_eq!(text.compare(&Number::Double(number)), Ordering::Equal);
        }
    }
}
