//! Ports, and requests over plain HTTP to servers of our own.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use crate::process::Result;

/// How long a server on loopback may take over one answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// No answer that is read here is near this size, in bytes.
const MAX_ANSWER: u64 = 1 << 20;

/// Ports of loopback that nothing listens on, all different.
pub(crate) fn free_ports<const N: usize>() -> Result<[u16; N]> {
    // Held until all are known, so that no two are the same.
    let mut held = Vec::new();
    let mut ports = [0; N];
    for port in &mut ports {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        *port = listener.local_addr()?.port();
        held.push(listener);
    }
    Ok(ports)
}

/// The status and the body that `http://127.0.0.1:PORT` and a path answer to a GET.
pub(crate) fn get(address: &str, path: &str) -> Result<(u16, String)> {
    request(address, &format!("GET {path} HTTP/1.0\r\n\r\n"))
}

/// The same for a POST of a form.
pub(crate) fn post_form(
    address: &str,
    authorization: &str,
    form: &[(&str, &str)],
) -> Result<(u16, String)> {
    let body = form
        .iter()
        .map(|(name, value)| format!("{}={}", encoded(name), encoded(value)))
        .collect::<Vec<_>>()
        .join("&");
    let length = body.len();
    let host = host(address)?;
    request(
        address,
        &format!(
            "POST / HTTP/1.0\r\nHost: {host}\r\nAuthorization: {authorization}\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}\r\n\r\n{body}"
        ),
    )
}

/// Whether it answers 200 there.
pub(crate) fn is_ok(address: &str, path: &str) -> bool {
    get(address, path).is_ok_and(|(status, _)| status == 200)
}

fn host(address: &str) -> Result<&str> {
    Ok(address
        .strip_prefix("http://")
        .ok_or("not an address of plain HTTP")?)
}

fn request(address: &str, request: &str) -> Result<(u16, String)> {
    let socket: SocketAddr = host(address)?.parse()?;
    let mut stream = TcpStream::connect_timeout(&socket, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER).read_to_end(&mut answer)?;
    parsed(&String::from_utf8_lossy(&answer)).ok_or_else(|| "not an answer of HTTP".into())
}

fn parsed(answer: &str) -> Option<(u16, String)> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.")?.split(' ').nth(1)?;
    Some((status.parse().ok()?, body.to_owned()))
}

/// As a form wants it: everything but letters and digits by its bytes.
fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| {
            if byte.is_ascii_alphanumeric() {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn asks_and_understands() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = [0; 1024];
            let length = stream.read(&mut asked).unwrap();
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n<x>")
                .unwrap();
            String::from_utf8_lossy(&asked[..length]).into_owned()
        });
        let answer = post_form(&address, "me", &[("a", "{\"é\": 1}")]).unwrap();
        assert_eq!(answer, (200, "<x>".to_owned()));
        let asked = server.join().unwrap();
        assert!(
            asked.ends_with("\r\n\r\na=%7B%22%C3%A9%22%3A%201%7D"),
            "{asked}"
        );

        // Nothing listens any more.
        assert!(!is_ok(&address, "/"));
        assert!(get("https://127.0.0.1:1", "/").is_err());
    }

    #[test]
    fn no_answer_of_http_is_not_taken_for_one() {
        for answer in [
            "",
            "HTTP/1.1 200 OK\r\n",
            "SSH-2.0\r\n\r\n",
            "HTTP/1.1 OK\r\n\r\n",
        ] {
            assert_eq!(parsed(answer), None, "{answer:?}");
        }
    }

    #[test]
    fn free_ports_differ() {
        let [a, b, c] = free_ports().unwrap();
        assert!(a != b && b != c && a != c);
    }
}
