//! Floats as text.

/// A finite float as JavaScript writes it, which every language can do: the fewest digits that mean this very float, whole
/// numbers without a fraction, and an exponent below 1e-6 and from 1e21 on.
///
/// The digits are those of `serde_json`: where two texts are as short and as near, the standard library takes another one than
/// JavaScript, Python and Go do.
pub(super) fn shortest(value: f64) -> String {
    let Some(number) = serde_json::Number::from_f64(value).filter(|_| value != 0.0) else { return "0".to_owned() };
    let text = number.to_string();
    let (sign, text) = text.strip_prefix('-').map_or(("", text.as_str()), |text| ("-", text));
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = format!("{whole}{fraction}");
    let digits = all.trim_start_matches('0');
    // The value is 0.digits × 10^point.
    let leading = i32::try_from(all.len() - digits.len()).unwrap_or_default();
    let point = i32::try_from(whole.len()).unwrap_or_default() - leading + exponent.parse().unwrap_or(0);
    let digits = digits.trim_end_matches('0');
    let zeros = |count: i32| "0".repeat(usize::try_from(count).unwrap_or_default());
    let length = i32::try_from(digits.len()).unwrap_or_default();
    match usize::try_from(point) {
        _ if length <= point && point <= 21 => format!("{sign}{digits}{}", zeros(point - length)),
        Ok(before @ 1..=21) => format!("{sign}{}.{}", &digits[..before], &digits[before..]),
        _ if -6 < point && point <= 0 => format!("{sign}0.{}{digits}", zeros(-point)),
        _ => {
            let (first, rest) = digits.split_at(1);
            let (dot, exponent) = (if rest.is_empty() { "" } else { "." }, point - 1);
            format!("{sign}{first}{dot}{rest}e{}{}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_javascript_writes_them() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "0"),
            (1.0, "1"),
            (0.1, "0.1"),
            (-1.5, "-1.5"),
            (1e-6, "0.000001"),
            (1e-7, "1e-7"),
            (1.25e-7, "1.25e-7"),
            (1e20, "100000000000000000000"),
            (123_456_789_012_345_680_000.0, "123456789012345680000"),
            (1e21, "1e+21"),
            (5e-324, "5e-324"),
            (f64::MAX, "1.7976931348623157e+308"),
            (9_007_199_254_740_993.0, "9007199254740992"),
            // As near as …313.
            (907_898.715_332_031_2, "907898.7153320312"),
            (-1.0e-5, "-0.00001"),
            (1234.5e30, "1.2345e+33"),
        ] {
            assert_eq!(shortest(value), text);
        }
    }
}
