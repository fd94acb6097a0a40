//! Rates and times of a search, for a person.

/// Attempts per second for a person.
pub(crate) fn rate(per_second: f64) -> String {
    match per_second {
        fast if fast >= 1e9 => format!("{:.2} GH/s", fast / 1e9),
        fast if fast >= 1e6 => format!("{:.2} MH/s", fast / 1e6),
        slow => format!("{:.2} kH/s", slow / 1e3),
    }
}

/// Seconds for a person: two units at most.
pub(crate) fn time(seconds: Option<f64>) -> String {
    const MINUTE: f64 = 60.0;
    const HOUR: f64 = 60.0 * MINUTE;
    const DAY: f64 = 24.0 * HOUR;
    const YEAR: f64 = 365.25 * DAY;
    let two = |seconds: f64, large: (f64, &str), small: (f64, &str)| {
        let whole = (seconds / small.0).round() * small.0;
        format!(
            "{} {} {} {}",
            (whole / large.0) as u64,
            large.1,
            ((whole % large.0) / small.0) as u64,
            small.1
        )
    };
    match seconds {
        Some(short) if short < 9.95 => format!("{short:.1} s"),
        Some(short) if short < MINUTE - 0.5 => format!("{short:.0} s"),
        Some(long) if long < HOUR - 0.5 => two(long, (MINUTE, "min"), (1.0, "s")),
        Some(long) if long < DAY - MINUTE / 2.0 => two(long, (HOUR, "h"), (MINUTE, "min")),
        Some(long) if long < YEAR => two(long, (DAY, "d"), (HOUR, "h")),
        Some(long) if long < 1e4 * YEAR => format!("{:.1} years", long / YEAR),
        Some(ages) if ages.is_finite() => format!("{:.0e} years", ages / YEAR),
        _ => "an unknown time".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_two_units_at_most() {
        for (seconds, wanted) in [
            (0.04, "0.0 s"),
            (9.94, "9.9 s"),
            (10.0, "10 s"),
            (59.4, "59 s"),
            (59.7, "1 min 0 s"),
            (3_599.9, "1 h 0 min"),
            (3_660.0, "1 h 1 min"),
            (86_399.0, "1 d 0 h"),
            (90_000.0, "1 d 1 h"),
            (63_115_200.0, "2.0 years"),
            (1e20, "3e12 years"),
        ] {
            assert_eq!(time(Some(seconds)), wanted, "{seconds}");
        }
        assert_eq!(time(None), "an unknown time");
        assert_eq!(time(Some(f64::INFINITY)), "an unknown time");
    }

    #[test]
    fn rates_have_a_fitting_unit() {
        assert_eq!(rate(1.5e9), "1.50 GH/s");
        assert_eq!(rate(113_520_000.0), "113.52 MH/s");
        assert_eq!(rate(0.0), "0.00 kH/s");
    }
}
