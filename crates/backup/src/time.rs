//! Moments as text: unix ms, or days and times of UTC as RFC 3339 has them.
//!
//! Days are counted as in Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".

const DAY_MS: i64 = 86_400_000;

/// Year, month and day of a day since 1970-01-01.
fn date(days: i64) -> (i64, u32, u32) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = (doy - (153 * mp + 2) / 5 + 1) as u32;
    let month = (if mp < 10 { mp + 3 } else { mp - 9 }) as u32;
    (yoe + era * 400 + i64::from(month <= 2), month, day)
}

/// The day since 1970-01-01.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let y = if month <= 2 { year - 1 } else { year };
    let (era, yoe) = (y.div_euclid(400), y.rem_euclid(400));
    let doy = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    era * 146_097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719_468
}

/// `2026-11-22T10:00:00.123Z`, of unix ms.
#[must_use]
pub fn format_ms(ms: i64) -> String {
    let (year, month, day) = date(ms.div_euclid(DAY_MS));
    let of_day = ms.rem_euclid(DAY_MS);
    let (h, m, s, ms) = (of_day / 3_600_000, of_day / 60_000 % 60, of_day / 1000 % 60, of_day % 1000);
    format!("{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}.{ms:03}Z")
}

/// Unix ms of a number of them, or of a text like `2026-11-22T10:00:00Z` or `2026-11-22 10:00:00.5Z`. Without `Z` it is not
/// taken: nobody would know of which place it is.
#[must_use]
pub fn parse_time(text: &str) -> Option<i64> {
    if text.bytes().all(|b| b.is_ascii_digit()) {
        return text.parse().ok();
    }
    let (date, time) = text.strip_suffix(['Z', 'z'])?.split_once(['T', 't', ' '])?;
    let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let [hour, minute, second] = numbers(time, ':', [2, 2, 2])?;
    let is_time = hour < 24 && minute < 60 && second < 60;
    let start = (1..=12).contains(&month).then(|| days(year, month, day))?;
    if !is_time || self::date(start) != (year, month as u32, day as u32) {
        return None;
    }
    let is_fraction = !fraction.is_empty() && fraction.bytes().all(|b| b.is_ascii_digit());
    let ms: i64 = is_fraction.then(|| format!("{fraction:0<3}")[..3].parse().ok())??;
    Some(start * DAY_MS + ((hour * 60 + minute) * 60 + second) * 1000 + ms)
}

fn numbers(text: &str, between: char, lengths: [usize; 3]) -> Option<[i64; 3]> {
    let mut words = text.split(between);
    let mut found = [0; 3];
    for (number, length) in found.iter_mut().zip(lengths) {
        let word = words.next().filter(|w| w.len() == length && w.bytes().all(|b| b.is_ascii_digit()))?;
        *number = word.parse().ok()?;
    }
    words.next().is_none().then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_moments() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (1_763_805_600_123, "2025-11-22T10:00:00.123Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(format_ms(ms), text);
            assert_eq!(parse_time(text), Some(ms));
        }
        assert_eq!(parse_time("2025-11-22 10:00:00.5Z"), Some(1_763_805_600_500));
        assert_eq!(parse_time("2025-11-22T10:00:00Z"), Some(1_763_805_600_000));
        assert_eq!(parse_time("1763805600123"), Some(1_763_805_600_123));
    }

    #[test]
    fn what_is_no_moment_is_refused() {
        for text in [
            "",
            "-1",
            "yesterday",
            "2025-11-22T10:00:00",
            "2025-11-22T10:00:00+01:00",
            "2025-02-29T10:00:00Z",
            "2025-13-01T10:00:00Z",
            "2025-00-01T10:00:00Z",
            "2025-1-01T10:00:00Z",
            "2025-01-01T24:00:00Z",
            "2025-01-01T10:00Z",
            "2025-01-01T10:00:00.Z",
            "2025-01-01-01T10:00:00Z",
        ] {
            assert_eq!(parse_time(text).filter(|_| !text.is_empty()), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read(ms in 0i64..253_402_300_800_000) {
            prop_assert_eq!(parse_time(&format_ms(ms)), Some(ms));
        }
    }
}
