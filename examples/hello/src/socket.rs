//! WebSockets (RFC 6455): as much as an echo needs, and an end in good order.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

/// How often a quiet socket looks whether it is to end.
const LOOK: Duration = Duration::from_millis(100);

/// A message longer than this ends the socket.
const MOST: u64 = 64 << 10;

const CONTINUATION: u8 = 0x0;
const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xa;

/// "1001 indicates that an endpoint is 'going away', such as a server going down".
const GOING_AWAY: [u8; 2] = 1001_u16.to_be_bytes();

/// The value of `Sec-WebSocket-Accept` for a key.
pub fn accept(key: &str) -> String {
    base64(&sha1(format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11").as_bytes()))
}

/// Echoes until the other side closes, `until` is there, or the server is told to end.
pub fn echo(
    reader: &mut impl Read,
    stream: &TcpStream,
    until: Option<Instant>,
    ends: impl Fn() -> bool,
) -> io::Result<()> {
    stream.set_read_timeout(Some(LOOK))?;
    loop {
        if ends() || until.is_some_and(|until| Instant::now() >= until) {
            return send(stream, CLOSE, &GOING_AWAY);
        }
        let mut first = [0];
        match reader.read(&mut first) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => continue,
            Err(error) => return Err(error),
        }
        // The rest of a frame that has begun may take its time.
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        let payload = rest(reader)?;
        stream.set_read_timeout(Some(LOOK))?;
        match first[0] & 0x0f {
            CLOSE => return send(stream, CLOSE, payload.get(..2).unwrap_or_default()),
            PING => send(stream, PONG, &payload)?,
            TEXT | BINARY | CONTINUATION => send(stream, first[0] & 0x0f, &payload)?,
            _ => {}
        }
    }
}

/// Length, mask and payload of a frame.
fn rest(reader: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut head = [0];
    reader.read_exact(&mut head)?;
    let length = match head[0] & 0x7f {
        126 => {
            let mut length = [0; 2];
            reader.read_exact(&mut length)?;
            u16::from_be_bytes(length).into()
        }
        127 => {
            let mut length = [0; 8];
            reader.read_exact(&mut length)?;
            u64::from_be_bytes(length)
        }
        short => u64::from(short),
    };
    if length > MOST {
        return Err(io::Error::other("a message that is too long"));
    }
    let mut mask = [0; 4];
    if head[0] & 0x80 != 0 {
        reader.read_exact(&mut mask)?;
    }
    let mut payload = Vec::new();
    reader.take(length).read_to_end(&mut payload)?;
    for (byte, mask) in payload.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
    Ok(payload)
}

fn send(mut stream: &TcpStream, kind: u8, payload: &[u8]) -> io::Result<()> {
    let mut frame = vec![0x80 | kind];
    match payload.len() {
        length @ 0..126 => frame.push(length as u8),
        length => {
            frame.push(126);
            frame.extend(u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes());
        }
    }
    frame.extend(payload.iter().take(usize::from(u16::MAX)));
    stream.write_all(&frame)
}

/// SHA-1 (FIPS 180-4), which the handshake asks for and nothing depends on.
fn sha1(message: &[u8]) -> [u8; 20] {
    let mut state: [u32; 5] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];
    let mut padded = message.to_vec();
    padded.push(0x80);
    while padded.len() % 64 != 56 {
        padded.push(0);
    }
    padded.extend((message.len() as u64 * 8).to_be_bytes());
    for block in padded.chunks_exact(64) {
        let mut words = [0_u32; 80];
        for (word, bytes) in words.iter_mut().zip(block.chunks_exact(4)) {
            *word = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        }
        for at in 16..80 {
            words[at] = (words[at - 3] ^ words[at - 8] ^ words[at - 14] ^ words[at - 16]).rotate_left(1);
        }
        let [mut a, mut b, mut c, mut d, mut e] = state;
        for (at, word) in words.iter().enumerate() {
            let (mixed, constant) = match at {
                0..20 => ((b & c) | (!b & d), 0x5a82_7999),
                20..40 => (b ^ c ^ d, 0x6ed9_eba1),
                40..60 => ((b & c) | (b & d) | (c & d), 0x8f1b_bcdc),
                _ => (b ^ c ^ d, 0xca62_c1d6_u32),
            };
            let next = a.rotate_left(5).wrapping_add(mixed).wrapping_add(e).wrapping_add(constant).wrapping_add(*word);
            (e, d, c, b, a) = (d, c, b.rotate_left(30), a, next);
        }
        for (word, new) in state.iter_mut().zip([a, b, c, d, e]) {
            *word = word.wrapping_add(new);
        }
    }
    let mut digest = [0; 20];
    for (bytes, word) in digest.chunks_exact_mut(4).zip(state) {
        bytes.copy_from_slice(&word.to_be_bytes());
    }
    digest
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let bits = three.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for at in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * at) & 63) as usize];
            text.push(if at <= three.len() { letter.into() } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_handshake_of_the_rfc() {
        assert_eq!(accept("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn a_masked_frame_is_read() {
        // "Hello", as in section 5.7.
        let mut frame: &[u8] = &[0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
        assert_eq!(rest(&mut frame).expect("a frame"), b"Hello");
    }
}
