//! Every guest builds as a component.

use std::fs;

use strongroom_test_guests::guest;

/// A component's first bytes: the magic number, and layer 1 for a component, not a module.
const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

#[test]
fn all_guests_are_components() {
    for name in [
        "get_many",
        "json_secret",
        "list_versions",
        "probe",
        "read_secret",
        "reader_only",
        "refused",
        "strongroom_bench_guest",
        "writer",
    ] {
        let bytes = fs::read(guest(name)).unwrap();
        assert!(bytes.starts_with(COMPONENT), "{name}");
    }
}
