use strongroom_backend_local::fuzz::{decode_header, decode_record};

/// A store that somebody wrote to: a record, a header or an error.
pub fn local_record(data: &[u8]) {
    let _ = decode_record(data);
    let _ = decode_header(data);
}
