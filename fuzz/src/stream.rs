//! Messages of a replication stream, one after the other.

use bytes::Bytes;
use trunkline_core::store::log::LogPosition;
use trunkline_replication::Memory;
use trunkline_replication::protocol::{Begun, Follower, Link, Rejected, Verifier};
use trunkline_replication::wire::{Message, Refusal, Report};
use trunkline_testkit::counting::peak_of;

/// Accepts any bytes as frames and beginnings: signed content can be anything, too.
#[derive(Clone)]
struct Anything;

impl Verifier for Anything {
    type Frame = ();

    fn beginning(&self, bytes: &[u8]) -> Result<Begun, Rejected> {
        let (epoch, rest) = number(bytes)?;
        let at = position(rest)?;
        Ok(Begun { epoch, at })
    }

    fn frame(&self, bytes: Bytes) -> Result<(Link, ()), Rejected> {
        let (epoch, rest) = number(&bytes)?;
        let position = position(rest)?;
        let parent = [rest.last().copied().unwrap_or(0); 32];
        let link = Link {
            epoch,
            parent,
            position,
        };
        Ok((link, ()))
    }
}

fn number(bytes: &[u8]) -> Result<(u64, &[u8]), Rejected> {
    let (first, rest) = bytes.split_first().ok_or(Rejected("short".into()))?;
    // The highest numbers are included.
    let number = match first {
        0xf0.. => u64::MAX - u64::from(0xff - first),
        _ => u64::from(*first),
    };
    Ok((number, rest))
}

fn position(bytes: &[u8]) -> Result<LogPosition, Rejected> {
    let (version, rest) = number(bytes)?;
    let commit_id = [rest.first().copied().unwrap_or(0); 32];
    Ok(LogPosition { version, commit_id })
}

/// Reads a message, a report, a request or a memory: whichever decodes the bytes; and messages preceded by their
/// lengths, which a follower reads.
pub fn read_stream(bytes: &[u8]) {
    let (read, peak) = peak_of(|| Message::decode(bytes.to_vec()));
    assert!(peak <= 128 * bytes.len() + 4096, "{peak} bytes of memory");
    if let Ok(message) = read {
        assert_eq!(message.encode(), bytes);
    }
    if let Ok(report) = Report::decode(bytes) {
        assert_eq!(report.encode(), bytes);
    }
    if let Ok(refusal) = Refusal::decode(bytes) {
        assert_eq!(refusal.encode(), bytes);
    }
    if let Ok(memory) = Memory::decode(bytes, &[0x71; 32]) {
        assert_eq!(memory.encode(&[0x71; 32]), bytes);
    }
    follow(bytes);
}

fn follow(mut bytes: &[u8]) {
    let position = LogPosition {
        version: 0,
        commit_id: [0; 32],
    };
    let mut follower = Follower::new(Anything, 1, position, 0);
    while let Some((length, rest)) = bytes.split_first() {
        let (message, rest) = rest.split_at(rest.len().min(usize::from(*length)));
        bytes = rest;
        let before = follower.position().version;
        let next = follower.next();
        if follower
            .take(next, Bytes::copy_from_slice(message))
            .is_err()
        {
            break;
        }
        assert!(follower.position().version >= before);
    }
    let _ = follower.check_end(follower.next() - 1);
}
