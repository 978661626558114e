//! Cryptography with keys that never leave the host.
//!
//! A key is a secret of kind `transit-key`. Each function needs the action that its documentation
//! names; none of them needs `read`, and none gives the key away.

use crate::bindings::strongroom::vault::transit as wit;
use crate::{Error, Secret};

/// Encrypts and authenticates under the newest version of the key. Needs `use-encrypt`.
///
/// `context` is authenticated and not kept: give the same bytes again to decrypt.
///
/// # Errors
///
/// [`Error::Denied`] without a grant, [`Error::NotFound`] where there is no such key,
/// [`Error::Unsupported`] where it is not a key for encryption.
pub fn encrypt(key: &str, plaintext: &[u8], context: &[u8]) -> Result<Vec<u8>, Error> {
    Ok(wit::encrypt(key, plaintext, context)?)
}

/// Decrypts what [`encrypt`] made. Needs `use-decrypt`.
///
/// # Errors
///
/// As [`encrypt`]; [`Error::InvalidArgument`] where ciphertext, context and key do not belong
/// together.
pub fn decrypt(key: &str, ciphertext: &[u8], context: &[u8]) -> Result<Secret, Error> {
    Ok(wit::decrypt(key, ciphertext, context)?.into())
}

/// Encrypts again under the newest version of the key, without showing the plaintext. Needs
/// `use-encrypt`.
///
/// # Errors
///
/// As [`decrypt`].
pub fn rewrap(key: &str, ciphertext: &[u8], context: &[u8]) -> Result<Vec<u8>, Error> {
    Ok(wit::rewrap(key, ciphertext, context)?)
}

/// Signs a message. Needs `use-sign`.
///
/// # Errors
///
/// As [`encrypt`]; [`Error::Unsupported`] where it is not a key for signing.
pub fn sign(key: &str, message: &[u8]) -> Result<Vec<u8>, Error> {
    Ok(wit::sign(key, message)?)
}

/// Whether the signature is the key's, of this message. Needs `use-verify`.
///
/// # Errors
///
/// As [`sign`].
#[must_use = "the answer is the check"]
pub fn verify(key: &str, message: &[u8], signature: &[u8]) -> Result<bool, Error> {
    Ok(wit::verify(key, message, signature)?)
}

/// The HMAC tag of a message. Needs `use-hmac`.
///
/// Also works with a plain secret that its owner has labelled `hmac = allow`.
///
/// # Errors
///
/// As [`encrypt`]; [`Error::Unsupported`] where it is neither such a key nor so labelled.
pub fn hmac(key: &str, message: &[u8]) -> Result<Vec<u8>, Error> {
    Ok(wit::hmac(key, message)?)
}

/// Whether the tag is the key's, of this message, compared by the host in constant time. Needs
/// `use-verify`.
///
/// # Errors
///
/// As [`hmac`].
#[must_use = "the answer is the check"]
pub fn verify_hmac(key: &str, message: &[u8], tag: &[u8]) -> Result<bool, Error> {
    Ok(wit::verify_hmac(key, message, tag)?)
}
