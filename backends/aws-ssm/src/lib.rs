//! AWS SSM Parameter Store as a Strongroom store: each secret a parameter of type SecureString.
//!
//! ```no_run
//! use std::path::Path;
//!
//! use strongroom_backend::{Backend, SecretPath, Which};
//! use strongroom_backend_aws::AwsConfig;
//! use strongroom_backend_aws_ssm::{Config, SsmBackend};
//!
//! # async fn read() -> Result<(), Box<dyn std::error::Error>> {
//! let mut aws = AwsConfig::default();
//! aws.region = Some("eu-central-1".to_owned());
//! let store = SsmBackend::open(&Config::new(aws, "/prod/app/"), Path::new(".")).await?;
//! let path = SecretPath::parse("stripe/api-key")?;
//! let secret = store.get(&path, Which::Current).await?;
//! # let _ = secret;
//! # Ok(())
//! # }
//! ```
//!
//! # Settings
//!
//! ```toml
//! [vault.prod]
//! backend = "aws-ssm"
//! prefix = "/prod/app/"             # required; begins and ends with `/`
//! region = "eu-central-1"           # default: AWS_REGION, AWS_DEFAULT_REGION, then the profile's
//! auth = { profile = "prod" }       # "default-chain" (default), a profile, or variables with keys:
//!                                   # { access-key-id-env, secret-access-key-env, session-token-env }
//! # key-id = "alias/app"            # KMS key of values that are written; default: the account's own
//! # tier = "auto"                   # "standard", "advanced"
//! # endpoint = "https://vpce-1.example"   # private links, emulators
//! # ca-file = "ca.pem"              # trusted in place of the system's
//! # names = { "stripe/api-key" = "LegacyStripeKey" }    # without the prefix
//! ```
//!
//! # Names
//!
//! A path is a parameter's name behind the prefix, as it is: `stripe/api-key` under `/prod/app/` is
//! `/prod/app/stripe/api-key`. Only three kinds of paths are encoded as `<slug>--<hash>`, with the path
//! itself kept in the parameter's description: those with more than 15 levels in all, those that look
//! encoded, and under the prefix `/` those that begin with `aws` or `ssm`. A version is asked for as
//! `name:5`; a path has no colon, so the number is always ours.
//!
//! # Values
//!
//! A parameter holds text, and a read returns neither tags nor description beside it. What says how a
//! value is written therefore stands in the text itself, so that one call reads both at the same moment:
//!
//! | value | stored text |
//! | --- | --- |
//! | text | as it is |
//! | text that begins with `strongroom:`, and the empty value, which the service does not take | `strongroom:text:` and the text |
//! | bytes that are not UTF-8, text with control characters other than tab and line ends, text with `{{`, which the service would resolve, and blank text | `strongroom:base64:` and the bytes in base64 |
//!
//! A mark in the description or in a tag would cost a second call at each read, and could belong to
//! another version than the value: a reader between the two calls of a write would take base64 for the
//! value. Other programs that read a parameter see the marks.
//!
//! # Sizes
//!
//! The service's limit is one of text: 4,096 bytes in the standard tier, 8,192 in the advanced one, with
//! `tier = "auto"` by size. [`Capabilities::max_value`](strongroom_backend::Capabilities::max_value)
//! is that limit; a value in base64 can have 3,057 and 6,129 bytes. What is larger is refused before any call.
//!
//! # Versions
//!
//! Numbers are the parameter's own: 1, 2, 3, and again from 1 after a delete, which is for good. The
//! service keeps the newest 100. A write can demand that there is no parameter yet, and nothing else.
//!
//! # Metadata
//!
//! Kind, description and labels are tags that begin with `strongroom:`. Other tags are neither shown
//! nor touched: permissions can hang on them. The parameter's own description says who wrote the
//! version, and the path where the name does not tell it; it changes in one call with the value. Where a
//! parameter is there already, its value and its tags change in two calls.
//! Parameters in `names` belong to others too: their description is left alone.
//!
//! # Permissions
//!
//! | call | needs |
//! | --- | --- |
//! | read | `ssm:GetParameter`, for several `ssm:GetParameters`, `kms:Decrypt` for a key of one's own |
//! | write | `ssm:PutParameter`, with metadata `ssm:AddTagsToResource` and, to change it, `ssm:ListTagsForResource` and `ssm:RemoveTagsFromResource`; `kms:Encrypt` |
//! | list | `ssm:DescribeParameters`, which cannot be limited to a prefix |
//! | describe, versions | `ssm:GetParameterHistory`, `ssm:ListTagsForResource` |
//! | delete | `ssm:DeleteParameter` |
//!
//! # What stays in memory
//!
//! Values and their texts are wiped by us; the client library's own buffers of a request and a reply,
//! and what TLS keeps, are not.
#![forbid(unsafe_code)]

mod backend;
mod config;
mod error;
mod listing;
mod many;
mod naming;
mod note;
mod service;
mod tags;
mod value;
mod write;

pub use backend::SsmBackend;
pub use config::{Config, Tier};
