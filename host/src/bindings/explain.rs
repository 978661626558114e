//! Says what bytes are that do not compile as a component.

/// The first bytes of every WebAssembly binary.
const MAGIC: &[u8] = b"\0asm";
/// What follows them in a core module and in a component (version and layer).
const CORE: &[u8] = &[1, 0, 0, 0];
const COMPONENT: &[u8] = &[0x0d, 0, 1, 0];

/// A text for the operator: what `bytes` are instead of a component, and what to do.
pub(crate) fn explain(bytes: &[u8], error: &wasmtime::Error) -> String {
    let Some(layer) = bytes.strip_prefix(MAGIC) else {
        return "these bytes are not WebAssembly: a component is built, for example, with \
                `cargo build --target wasm32-wasip2`"
            .to_owned();
    };
    if layer.starts_with(CORE) {
        return "this is a core WebAssembly module, not a component: build it with \
                `--target wasm32-wasip2`, or wrap it with `wasm-tools component new`"
            .to_owned();
    }
    if layer.starts_with(COMPONENT) {
        return format!("the component is truncated or damaged: {error:#}");
    }
    "these bytes are WebAssembly of a version or layer that this host does not know".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_wrong_bytes_is_named() {
        let error = wasmtime::Error::msg("unexpected end");
        assert!(explain(b"hello", &error).contains("not WebAssembly"));
        assert!(explain(b"\0asm\x01\0\0\0", &error).contains("core WebAssembly module"));
        assert!(explain(b"\0asm\x0d\0\x01\0", &error).contains("truncated or damaged"));
        assert!(explain(b"\0asm\x09\0\0\0", &error).contains("does not know"));
        assert!(explain(b"", &error).contains("not WebAssembly"));
    }
}
