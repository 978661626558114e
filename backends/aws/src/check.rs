//! Who we are and what time it is, for `doctor`.

use strongroom_backend::{ErrorKind, Result};

use crate::clock;
use crate::failure::Failure;
use crate::session::Session;

/// The longest identity that is shown.
const MOST_ARN: usize = 2048;

impl Session {
    /// Asks who we are. Returns a line for each thing learnt; the identity is for the operator alone.
    ///
    /// STS needs no permission, but may be out of reach where the service itself is not: that is a
    /// line and no failure.
    ///
    /// # Errors
    ///
    /// `Unauthenticated` or `Config`, where there are no credentials or STS does not accept them.
    pub async fn check(&self) -> Result<Vec<String>> {
        let mut lines = vec![match &self.endpoint {
            Some(endpoint) => format!("region {}, endpoint {endpoint}", self.region()),
            None => format!("region {}", self.region()),
        }];
        let sts = aws_sdk_sts::Client::new(self.sdk());
        match sts.get_caller_identity().send().await {
            Ok(identity) => lines.push(format!(
                "authenticated by {} as {}",
                self.auth,
                identity.arn().map_or("an identity without a name", shown)
            )),
            Err(error) => {
                let failure = Failure::of(&error);
                if matches!(
                    failure.kind(),
                    ErrorKind::Unauthenticated | ErrorKind::Config
                ) {
                    return Err(failure.into_error("asking who we are"));
                }
                let why = failure.into_error("STS");
                lines.push(format!(
                    "who {} makes us could not be asked: {why}",
                    self.auth
                ));
            }
        }
        Ok(lines)
    }

    /// How the service is reached, for the operator.
    pub fn way(&self) -> &'static str {
        match &self.endpoint {
            Some(endpoint) if endpoint.starts_with("http://") => "in plain HTTP, on this machine",
            _ => "over TLS",
        }
    }

    /// What the replies so far tell of the clocks; none where they had no date.
    ///
    /// # Errors
    ///
    /// `Failed`, where they are so far apart that signatures are refused.
    pub fn clock_line(&self) -> Result<Option<String>> {
        self.clock.seconds().map(clock::line).transpose()
    }
}

/// An identity on one line: the text is the service's.
fn shown(arn: &str) -> &str {
    let plain = arn.len() <= MOST_ARN && arn.bytes().all(|b| b.is_ascii_graphic());
    if plain {
        arn
    } else {
        "an identity that cannot be shown"
    }
}
