//! Reading secrets.
//!
//! Every call is decided by the component's grants and audited before it answers.

use std::vec;

use serde::de::DeserializeOwned;

use crate::bindings::strongroom::vault::vault as wit;
use crate::{Error, Secret, SecretInfo, VersionInfo, json};

/// The most references that one [`get_many`] may ask for. The host refuses more.
pub const MAX_REFERENCES: usize = 100;

/// The current value. Needs `read`.
///
/// ```no_run
/// # fn main() -> Result<(), strongroom_guest::Error> {
/// let key = strongroom_guest::vault::get("stripe/api-key")?;
/// # drop(key);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// [`Error::Denied`] without a grant, [`Error::NotFound`] where there is no current version.
pub fn get(reference: &str) -> Result<Secret, Error> {
    Ok(wit::get(reference)?.into())
}

/// The current value with its number, from one look. Needs `read`.
///
/// The number is what [`writer::set_with`](crate::writer::set_with) expects and what
/// [`watch::wait_for_change`](crate::watch::wait_for_change) starts from.
///
/// # Errors
///
/// As [`get`].
pub fn read(reference: &str) -> Result<Versioned, Error> {
    let wit::Versioned { version, value } = wit::read(reference)?;
    Ok(Versioned {
        version,
        value: value.into(),
    })
}

/// A value and its version. From [`read`].
#[derive(Debug)]
#[non_exhaustive]
pub struct Versioned {
    /// The version's number; 0 where the vault's backend keeps no versions.
    pub version: u64,
    /// Its value.
    pub value: Secret,
}

/// The value of one version. Needs `read`.
///
/// # Errors
///
/// As [`get`]; [`Error::Unsupported`] where the vault's backend keeps no versions.
pub fn get_version(reference: &str, version: u64) -> Result<Secret, Error> {
    Ok(wit::get_version(reference, version)?.into())
}

/// Up to [`MAX_REFERENCES`] current values in one call. Needs `read` for each.
///
/// Each reference is decided and audited on its own, and has its own result, in the order asked.
///
/// ```no_run
/// # fn main() -> Result<(), strongroom_guest::Error> {
/// use strongroom_guest::vault;
///
/// let secrets = vault::get_many(["smtp/user", "smtp/password"])?;
/// let [user, password] = <[_; 2]>::try_from(secrets).expect("as many as asked");
/// # drop((user, password));
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// Of the call as a whole: [`Error::InvalidArgument`] for too many, or a quota.
pub fn get_many<I>(references: I) -> Result<Vec<Result<Secret, Error>>, Error>
where
    I: IntoIterator,
    I::Item: Into<String>,
{
    let references: Vec<String> = references.into_iter().map(Into::into).collect();
    let values = wit::get_many(&references)?;
    Ok(values
        .into_iter()
        .map(|value| value.map(Secret::from).map_err(Error::from))
        .collect())
}

/// The current value, parsed as JSON into a type of your own. Needs `read`.
///
/// The copies that the type holds are yours; see the [crate](crate#what-stays-in-the-components-memory)
/// on wiping them.
///
/// # Errors
///
/// As [`get`]; [`Error::Json`], with a position and without any of the text, where the value is not
/// JSON or not a `T`.
pub fn get_json<T: DeserializeOwned>(reference: &str) -> Result<T, Error> {
    json::parse(&get(reference)?)
}

/// One field of a value that is a JSON object. Needs `read`.
///
/// A string field gives its text, anything else its JSON as it is written. The grant is the whole
/// secret's: the host does not know of fields.
///
/// # Errors
///
/// As [`get_json`]; [`Error::NoSuchField`] where the object has no such field.
pub fn get_json_field(reference: &str, field: &str) -> Result<Secret, Error> {
    json::field(&get(reference)?, field)
}

/// What is known of a secret beside its value. Needs `list` or `read`.
///
/// # Errors
///
/// [`Error::Denied`] without a grant, [`Error::NotFound`] where there is no such secret.
pub fn describe(reference: &str) -> Result<SecretInfo, Error> {
    Ok(wit::describe(reference)?.into())
}

/// Its versions, newest first. Needs `list` or `read`.
///
/// # Errors
///
/// As [`describe`]; [`Error::Unsupported`] where the vault's backend keeps no versions.
pub fn versions(reference: &str) -> Result<Vec<VersionInfo>, Error> {
    Ok(wit::versions(reference)?
        .into_iter()
        .map(VersionInfo::from)
        .collect())
}

/// The references of one vault that start with `prefix` and that the component may list, in byte
/// order, over all pages.
///
/// `""` is all of the default vault, `prod:` all of the vault `prod`. What the component may not
/// list is left out. Pages are asked for as the iterator goes; it ends after an error.
///
/// ```no_run
/// # fn main() -> Result<(), strongroom_guest::Error> {
/// for reference in strongroom_guest::vault::list("stripe/") {
///     println!("{}", reference?);
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// Each item may be one: [`Error::Denied`] where no grant lists anything in that vault.
pub fn list(prefix: impl Into<String>) -> List {
    List {
        prefix: prefix.into(),
        page: Vec::new().into_iter(),
        next: Next::First,
    }
}

/// One page of [`list`]. Pass the cursor of a page to get the one after it, with the same prefix.
///
/// # Errors
///
/// As [`list`]; [`Error::InvalidArgument`] for a cursor that is not from such a page.
pub fn list_page(prefix: &str, cursor: Option<&str>) -> Result<Page, Error> {
    let wit::Page { references, cursor } = wit::list(prefix, cursor)?;
    Ok(Page { references, cursor })
}

/// Some references, and where the next ones are. From [`list_page`].
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Page {
    /// Canonical references, each with its vault id, in byte order.
    pub references: Vec<String>,
    /// What to ask the next page with; none on the last.
    pub cursor: Option<String>,
}

/// The iterator that [`list`] returns.
#[derive(Debug)]
#[must_use = "an iterator asks for nothing until it is used"]
pub struct List {
    prefix: String,
    page: vec::IntoIter<String>,
    next: Next,
}

impl Iterator for List {
    type Item = Result<String, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(reference) = self.page.next() {
                return Some(Ok(reference));
            }
            let page = match std::mem::replace(&mut self.next, Next::Done) {
                Next::First => list_page(&self.prefix, None),
                Next::After(cursor) => list_page(&self.prefix, Some(&cursor)),
                Next::Done => return None,
            };
            match page {
                Ok(page) => {
                    self.page = page.references.into_iter();
                    self.next = page.cursor.map_or(Next::Done, Next::After);
                }
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

impl std::iter::FusedIterator for List {}

#[derive(Debug)]
enum Next {
    First,
    After(String),
    Done,
}
