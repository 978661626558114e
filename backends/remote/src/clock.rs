//! How far this machine's clock and a service's are apart.

use strongroom_backend::{Error, ErrorKind, Result};

/// Up to here replies that take their time look the same.
const AGREE: u64 = 2;

/// What a check says of a service's clock that is `ahead` of ours by so many seconds.
///
/// # Errors
///
/// `Failed`, where that is more than `most`, with what it does: `harm`, as in "its tokens are refused".
pub fn compared(ahead: i64, most: u64, harm: &str) -> Result<String> {
    let apart = ahead.unsigned_abs();
    let side = if ahead > 0 { "behind" } else { "ahead of" };
    match apart {
        0..=AGREE => Ok("the clocks agree".to_owned()),
        apart if apart <= most => Ok(format!(
            "this machine's clock is {apart} s {side} the service's"
        )),
        apart => Err(Error::new(
            ErrorKind::Failed,
            format!(
                "this machine's clock is {apart} s {side} the service's: set it right, or {harm}"
            ),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_agree_differ_or_do_harm() {
        let harm = "tokens are refused";
        assert_eq!(compared(-2, 60, harm).unwrap(), "the clocks agree");
        assert!(compared(60, 60, harm).unwrap().contains("60 s behind"));
        let far = compared(61, 60, harm).unwrap_err().to_string();
        assert!(far.contains("61 s behind") && far.ends_with(harm), "{far}");
        let far = compared(i64::MIN, 60, harm).unwrap_err().to_string();
        assert!(far.contains("ahead of"), "{far}");
    }
}
