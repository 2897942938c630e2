//! Pull and push: what is asked for, and what became of what was given. The changesets themselves are a stream, `batch`.

use super::Message;
use super::parts::{clipped, read_origins, write_origins};
use crate::clock::VersionVector;
use crate::encode::{Malformed, Reader, Writer};
use crate::ident::{Dot, Origin, Seq};
use crate::limits;
use crate::wire::fields::{FieldReader, FieldWriter, item_bytes, item_text, item_tuple};

/// "My version vector is V; send what I lack, at most B bytes." The vector is the acknowledgement of what came before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pull {
    /// What the asking node's row states reflect.
    pub vector: VersionVector,
    /// What has come to it and is being taken in: not acknowledged, and not to be sent again now. Origin by origin the last of it.
    pub coming: VersionVector,
    /// Origins to leave out: what came of them is held back there.
    pub except: Vec<Origin>,
    /// Bytes of changesets after which the answer ends.
    pub max_bytes: u64,
}

/// What became of a push.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct PushReply {
    /// What the answering node's row states reflect now.
    pub vector: VersionVector,
    /// What it took in.
    pub taken: Tally,
    /// How many it had already.
    pub duplicates: u64,
    /// What it could not take in yet; at most [`limits::REPORTS_MAX`] are told.
    pub held: Vec<Report>,
    /// What it will never take in; at most [`limits::REPORTS_MAX`] are told.
    pub refused: Vec<Report>,
}

/// An amount of changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Tally {
    /// Changesets.
    pub changesets: u64,
    /// Events in them.
    pub events: u64,
    /// Bytes of them, as sealed.
    pub bytes: u64,
}

/// Why one changeset was not taken in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Which, where its bytes could be read.
    pub dot: Option<Dot>,
    /// `RM` and four digits.
    pub code: String,
    /// For people.
    pub text: String,
}

impl Report {
    /// Of a changeset, or of bytes that could not be read as one.
    pub fn new(dot: Option<Dot>, code: &str, text: impl Into<String>) -> Report {
        Report { dot, code: code.to_owned(), text: text.into() }
    }
}

impl Tally {
    /// Adds another amount.
    pub fn add(&mut self, other: Tally) {
        self.changesets = self.changesets.saturating_add(other.changesets);
        self.events = self.events.saturating_add(other.events);
        self.bytes = self.bytes.saturating_add(other.bytes);
    }
}

impl Message for Pull {
    const KIND: u64 = 9;
    const NAME: &'static str = "pull";

    fn write(&self, out: &mut FieldWriter) {
        out.vector(1, &self.vector);
        out.number(2, self.max_bytes);
        write_origins(out, 3, &self.except);
        out.vector(4, &self.coming);
    }

    fn read(input: &mut FieldReader<'_>) -> Result<Pull, Malformed> {
        Ok(Pull {
            vector: input.vector(1)?,
            max_bytes: input.number(2, limits::NUMBER_MAX)?,
            except: read_origins(input, 3)?,
            coming: input.optional_vector(4)?,
        })
    }
}

impl Message for PushReply {
    const KIND: u64 = 12;
    const NAME: &'static str = "push reply";

    fn write(&self, out: &mut FieldWriter) {
        out.vector(1, &self.vector);
        out.number(2, self.taken.changesets);
        out.number(3, self.taken.events);
        out.number(4, self.taken.bytes);
        out.number(5, self.duplicates);
        write_reports(out, 6, &self.held);
        write_reports(out, 7, &self.refused);
    }

    fn read(input: &mut FieldReader<'_>) -> Result<PushReply, Malformed> {
        let mut amount = |number| input.number(number, limits::NUMBER_MAX);
        let taken = Tally { changesets: amount(2)?, events: amount(3)?, bytes: amount(4)? };
        Ok(PushReply {
            taken,
            duplicates: amount(5)?,
            vector: input.vector(1)?,
            held: read_reports(input, 6)?,
            refused: read_reports(input, 7)?,
        })
    }
}

fn write_reports(out: &mut FieldWriter, number: u64, reports: &[Report]) {
    let told = reports.get(..limits::REPORTS_MAX).unwrap_or(reports);
    out.list(number, told.iter(), |out, report| {
        let mut dot = Writer::default();
        if let Some(name) = &report.dot {
            dot.origin(&name.origin);
            dot.number(name.seq.0);
        }
        let code = clipped(&report.code, limits::CODE_BYTES_MAX);
        out.array(3)?.bytes(&dot.0)?.str(code)?.str(clipped(&report.text, limits::TEXT_BYTES_MAX)).map(drop)
    });
}

fn read_reports(input: &mut FieldReader<'_>, number: u64) -> Result<Vec<Report>, Malformed> {
    input.list(number, limits::REPORTS_MAX, |input| {
        item_tuple(input, "report", 3)?;
        let dot = item_bytes(input, "report", 64)?;
        let code = item_text(input, "report", limits::CODE_BYTES_MAX)?;
        let text = item_text(input, "report", limits::TEXT_BYTES_MAX)?;
        Ok(Report { dot: read_dot(dot)?, code, text })
    })
}

fn read_dot(bytes: &[u8]) -> Result<Option<Dot>, Malformed> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let mut input = Reader::new(bytes);
    let origin = input.origin("report")?;
    let seq = Seq(input.bounded("report", limits::NUMBER_MAX)?);
    input.end("report")?;
    Ok(Some(Dot { origin, seq }))
}
