//! "No", which may answer anything.

use super::Message;
use super::parts::clipped;
use crate::encode::Malformed;
use crate::limits;
use crate::wire::fields::{FieldReader, FieldWriter};
use crate::wire::frame::{FrameKind, FrameReader};

/// "No", with a reason that people can look up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// One of [`code`].
    pub code: String,
    /// For people.
    pub text: String,
    /// Milliseconds after which to try again; `None` where trying again is useless until somebody changes something.
    pub retry_ms: Option<u64>,
}

impl Refusal {
    /// A refusal that trying again does not change.
    pub fn new(code: &str, text: impl Into<String>) -> Refusal {
        Refusal { code: code.to_owned(), text: text.into(), retry_ms: None }
    }

    /// Whether the caller may try again by itself.
    pub fn may_retry(&self) -> bool {
        self.retry_ms.is_some()
    }
}

impl Message for Refusal {
    const KIND: u64 = 100;
    const NAME: &'static str = "refusal";

    fn write(&self, out: &mut FieldWriter) {
        out.text(1, clipped(&self.code, limits::CODE_BYTES_MAX));
        out.text(2, clipped(&self.text, limits::TEXT_BYTES_MAX));
        if let Some(after) = self.retry_ms {
            out.number(3, after.saturating_add(1));
        } else {
            out.number(3, 0);
        }
    }

    fn read(input: &mut FieldReader<'_>) -> Result<Refusal, Malformed> {
        Ok(Refusal {
            code: input.text(1, limits::CODE_BYTES_MAX)?,
            text: input.text(2, limits::TEXT_BYTES_MAX)?,
            retry_ms: input.number(3, limits::NUMBER_MAX)?.checked_sub(1),
        })
    }
}

/// The payload of a body that is one message and that message a refusal; anything else is for the path's own decoder to judge.
pub(super) fn refusal_in(body: &[u8]) -> Option<Vec<u8>> {
    let mut reader = FrameReader::new();
    // A refusal is short: looking at the beginning is enough to tell, and copies no stream.
    reader.push(body.get(..body.len().min(limits::TEXT_BYTES_MAX * 2)).unwrap_or(body));
    let frame = reader.next_frame().ok()??;
    let mut fields =
        (frame.kind == FrameKind::Message).then(|| FieldReader::new(Refusal::NAME, &frame.payload))?.ok()?;
    let is_refusal = fields.number(0, u64::MAX) == Ok(Refusal::KIND);
    (is_refusal && reader.finish().is_ok()).then_some(frame.payload)
}
