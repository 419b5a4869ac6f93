//! Scaled integers as decimal numbers.

/// Formats `number / divisor` exactly; `divisor` is a power of ten.
#[must_use]
pub fn decimal(number: i128, divisor: u32) -> String {
    if divisor <= 1 {
        return number.to_string();
    }
    let decimals = divisor.ilog10() as usize;
    let divisor = u128::from(divisor);
    let sign = if number < 0 { "-" } else { "" };
    let magnitude = number.unsigned_abs();
    format!("{sign}{}.{:0decimals$}", magnitude / divisor, magnitude % divisor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scaled_numbers_are_exact() {
        assert_eq!(decimal(151, 100), "1.51");
        assert_eq!(decimal(-5, 100), "-0.05");
        assert_eq!(decimal(7, 1), "7");
        assert_eq!(decimal(i128::from(u64::MAX), 100), "184467440737095516.15");
    }
}
