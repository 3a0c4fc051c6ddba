//! Days and hours of a time that records have as seconds since 1970. UTC: a journal is read anywhere.

/// `2026-11-26 23:12:05 UTC`.
pub(super) fn utc(unix_s: f64) -> String {
    let ([year, month, day], [hour, minute, second]) = parts(unix_s);
    format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

/// The same to the minute and in a word: `2026-11-26T23:12Z`.
pub(super) fn minute(unix_s: f64) -> String {
    let ([year, month, day], [hour, minute, _]) = parts(unix_s);
    format!("{year}-{month:02}-{day:02}T{hour:02}:{minute:02}Z")
}

/// Year, month and day; hour, minute and second.
fn parts(unix_s: f64) -> ([u64; 3], [u64; 3]) {
    let seconds = unix_s.max(0.0) as u64;
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    (civil(days), [of_day / 3600, of_day / 60 % 60, of_day % 60])
}

/// Year, month and day of a day since 1970 (Hinnant, *chrono-compatible low-level date algorithms*).
fn civil(days: u64) -> [u64; 3] {
    let days = days + 719_468; // since the 1st of March of the year 0
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    [era * 400 + year + u64::from(month <= 2), month, day]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_calendar() {
        for (unix_s, text) in [
            (0.0, "1970-01-01 00:00:00 UTC"),
            (951_782_399.9, "2000-02-28 23:59:59 UTC"),
            (951_782_400.0, "2000-02-29 00:00:00 UTC"),
            (1_709_251_199.0, "2024-02-29 23:59:59 UTC"),
            (1_709_251_200.0, "2024-03-01 00:00:00 UTC"),
            (1_798_761_599.0, "2026-12-31 23:59:59 UTC"),
        ] {
            assert_eq!(utc(unix_s), text);
        }
        assert_eq!(minute(951_782_399.9), "2000-02-28T23:59Z");
    }
}
