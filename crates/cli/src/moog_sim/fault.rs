//! Faults as they are written on the command line: `503x3,retry-after=2`, `200,delay=3000`, `reset`.

use mutt_test_support::moog::{Chance, Fault, Manner};

/// Reads one fault.
///
/// # Errors
/// What is wrong with it, for the person who wrote it.
pub(super) fn parse(text: &str) -> Result<Fault, String> {
    let mut parts = text.split(',');
    let head = parts.next().unwrap_or_default();
    let (what, times) = match head.rsplit_once('x') {
        Some((what, times)) if !times.is_empty() && times.bytes().all(|byte| byte.is_ascii_digit()) => {
            (what, times.parse().map_err(|_| format!("`{times}` is too many times"))?)
        }
        _ => (head, 1),
    };
    let mut fault = match what.parse::<u16>() {
        Ok(status @ 200..=599) => Fault::status(status),
        Ok(status) => return Err(format!("{status} is not a final HTTP status (200 to 599)")),
        Err(_) => Fault::manner(manner(what)?),
    };
    fault.times = times;
    for option in parts {
        match option.split_once('=') {
            Some(("delay", ms)) => {
                fault.delay_ms = ms.parse().map_err(|_| format!("delay is in milliseconds, not `{ms}`"))?;
            }
            Some(("retry-after", value)) => fault.retry_after = Some(value.to_owned()),
            Some(("location", value)) => fault.location = Some(value.to_owned()),
            Some(("body", value)) => fault.body = Some(value.to_owned()),
            _ => {
                return Err(format!(
                    "`{option}` is none of delay=MS, retry-after=SECONDS, location=URL, body=TEXT"
                ));
            }
        }
    }
    Ok(fault)
}

/// Reads a share and a fault, as `0.1:503`.
///
/// # Errors
/// What is wrong with it, for the person who wrote it.
pub(super) fn parse_chance(text: &str) -> Result<Chance, String> {
    let (share, fault) = text.split_once(':').ok_or("write it as SHARE:FAULT, for example 0.1:503")?;
    match share.parse::<f64>() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(Chance { share, fault: parse(fault)? }),
        _ => Err(format!("`{share}` is not a share from 0 to 1")),
    }
}

fn manner(word: &str) -> Result<Manner, String> {
    Ok(match word {
        "reset" => Manner::Reset,
        "garbage" => Manner::Garbage,
        "drip" => Manner::Drip,
        "flood" => Manner::Flood,
        "silent" => Manner::Silent,
        "login-page" => Manner::LoginPage,
        _ => {
            return Err(format!(
                "`{word}` is neither a status nor reset, garbage, drip, flood, silent or login-page"
            ));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_may_have_times_and_options() {
        assert_eq!(parse("503").unwrap(), Fault::status(503));
        assert_eq!(parse("429x5,retry-after=2").unwrap(), Fault::status(429).times(5).retry_after("2"));
        assert_eq!(parse("200,delay=3000").unwrap(), Fault::delay_ms(3000));
        assert_eq!(parse("resetx2").unwrap(), Fault::manner(Manner::Reset).times(2));
    }

    #[test]
    fn mistakes_are_explained() {
        for (text, part) in [
            ("99", "not a final HTTP status"),
            ("503,later=1", "none of delay=MS"),
            ("crash", "neither a status nor"),
            ("200,delay=soon", "milliseconds"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
        assert!(parse_chance("2:503").is_err());
        assert!((parse_chance("0.25:503").unwrap().share - 0.25).abs() < f64::EPSILON);
    }
}
