//! The compact bytes of a row state at rest: origins and stamps by number, values once. Local to one node or one snapshot: the
//! origin numbers mean something only beside the table that made them.

use super::{ColumnIx, Register, RowState, Shown, Stamp, Written};
use crate::clock::Lamport;
use crate::encode::{Malformed, Reader, Writer};
use crate::event::Extras;
use crate::ident::Origin;
use crate::limits;
use crate::value::Value;

/// First byte of a stored row state.
const VERSION: u8 = 1;

/// Numbers origins, so that a row names each in a byte or two.
pub trait OriginTable {
    /// The number of an origin, given to it now if it has none.
    fn number(&mut self, origin: &Origin) -> u32;
    /// The origin with that number.
    fn origin(&self, number: u32) -> Option<Origin>;
}

impl OriginTable for Vec<Origin> {
    fn number(&mut self, origin: &Origin) -> u32 {
        let position = self.iter().position(|known| known == origin).unwrap_or_else(|| {
            self.push(*origin);
            self.len() - 1
        });
        position as u32
    }

    fn origin(&self, number: u32) -> Option<Origin> {
        self.get(number as usize).copied()
    }
}

/// Appends the bytes of a row state.
pub fn encode(state: &RowState, origins: &mut dyn OriginTable, out: &mut Writer) {
    let mut stamps = Stamps::default();
    stamps.collect(state);
    out.byte(VERSION);
    stamps.encode(origins, out);
    encode_stamp_list(&state.births, &stamps, out);
    encode_stamp_list(&state.live, &stamps, out);
    encode_stamp_list(&state.deletes, &stamps, out);
    out.number(state.registers.len() as u64);
    for register in &state.registers {
        encode_register(register, &stamps, out);
    }
    match &state.shown {
        Shown::Absent => out.byte(0),
        Shown::AsWritten => out.byte(1),
        Shown::Image(image) => {
            out.byte(2);
            encode_image(image, out);
        }
    }
    out.number(state.witnesses.len() as u64);
    for (stamp, image) in &state.witnesses {
        out.number(stamps.number(stamp));
        encode_image(image, out);
    }
    out.number(state.extras.len() as u64);
    for (stamp, fields) in &state.extras {
        out.number(stamps.number(stamp));
        out.number(fields.len() as u64);
        for (number, bytes) in fields {
            out.number(*number);
            out.bytes(bytes);
        }
    }
}

/// Reads what [`encode`] wrote.
///
/// # Errors
/// If the bytes are anything else, or name an origin that the table does not know.
pub fn decode(input: &mut Reader<'_>, origins: &dyn OriginTable) -> Result<RowState, Malformed> {
    if input.byte("row state version")? != VERSION {
        return Err(Malformed::Invalid("row state version"));
    }
    let stamps = Stamps::decode(input, origins)?;
    let births = decode_stamp_list(input, &stamps)?;
    let live = decode_stamp_list(input, &stamps)?;
    let deletes = decode_stamp_list(input, &stamps)?;
    let count = input.count("registers", limits::COLUMNS_MAX)?;
    let registers = (0..count).map(|_| decode_register(input, &stamps)).collect::<Result<_, _>>()?;
    let shown = match input.byte("shown")? {
        0 => Shown::Absent,
        1 => Shown::AsWritten,
        2 => Shown::Image(decode_image(input)?),
        _ => return Err(Malformed::Invalid("shown")),
    };
    let count = input.count("witnesses", limits::ORIGINS_MAX)?;
    let witnesses =
        (0..count).map(|_| Ok((stamps.read(input)?, decode_image(input)?))).collect::<Result<_, Malformed>>()?;
    let count = input.count("extras", limits::ORIGINS_MAX)?;
    let extras =
        (0..count).map(|_| Ok((stamps.read(input)?, decode_fields(input)?))).collect::<Result<_, Malformed>>()?;
    Ok(RowState { births, registers, live, deletes, witnesses, extras, shown })
}

fn decode_fields(input: &mut Reader<'_>) -> Result<Extras, Malformed> {
    let count = input.count("extra fields", limits::EXTRAS_MAX)?;
    let mut field =
        || Ok((input.number("extra field")?, input.bytes("extra field", limits::EVENT_BYTES_MAX)?.to_vec()));
    (0..count).map(|_| field()).collect()
}

/// The distinct stamps of a row: nearly always one, shared by all its columns.
#[derive(Default)]
struct Stamps(Vec<Stamp>);

impl Stamps {
    fn collect(&mut self, state: &RowState) {
        for stamp in state.births.iter().chain(state.stamps()).chain(state.witnesses.iter().map(|(stamp, _)| stamp)) {
            // Neighbouring columns mostly share a stamp: look at the last first.
            if self.0.last() != Some(stamp) && !self.0.contains(stamp) {
                self.0.push(*stamp);
            }
        }
    }

    fn number(&self, stamp: &Stamp) -> u64 {
        self.0.iter().position(|known| known == stamp).expect("collect has seen every stamp of the row") as u64
    }

    fn encode(&self, origins: &mut dyn OriginTable, out: &mut Writer) {
        out.number(self.0.len() as u64);
        for stamp in &self.0 {
            out.number(u64::from(origins.number(&stamp.dot.origin)));
            out.number(stamp.dot.seq.0);
            out.number(stamp.lamport.0);
        }
    }

    fn decode(input: &mut Reader<'_>, origins: &dyn OriginTable) -> Result<Stamps, Malformed> {
        let count = input.count("stamps", limits::COLUMNS_MAX * 4)?;
        let mut stamps = Vec::with_capacity(count);
        for _ in 0..count {
            let number = input.bounded("origin number", u64::from(u32::MAX))? as u32;
            let origin = origins.origin(number).ok_or(Malformed::Invalid("origin number"))?;
            let seq = input.seq("seq")?;
            let lamport = Lamport(input.bounded("lamport", limits::NUMBER_MAX)?);
            stamps.push(Stamp::new(lamport, origin, seq));
        }
        Ok(Stamps(stamps))
    }

    fn read(&self, input: &mut Reader<'_>) -> Result<Stamp, Malformed> {
        let number = input.number("stamp")? as usize;
        self.0.get(number).copied().ok_or(Malformed::Invalid("stamp"))
    }
}

fn encode_stamp_list(list: &[Stamp], stamps: &Stamps, out: &mut Writer) {
    out.number(list.len() as u64);
    list.iter().for_each(|stamp| out.number(stamps.number(stamp)));
}

fn decode_stamp_list(input: &mut Reader<'_>, stamps: &Stamps) -> Result<Vec<Stamp>, Malformed> {
    let count = input.count("stamp list", limits::ORIGINS_MAX)?;
    (0..count).map(|_| stamps.read(input)).collect()
}

fn encode_register(register: &Register, stamps: &Stamps, out: &mut Writer) {
    let writes = register.writes();
    out.number(writes.len() as u64);
    for written in writes {
        out.number(stamps.number(&written.stamp));
        written.value.encode(out);
    }
}

fn decode_register(input: &mut Reader<'_>, stamps: &Stamps) -> Result<Register, Malformed> {
    let count = input.count("writes", limits::ORIGINS_MAX)?;
    let mut read = || Ok(Written { stamp: stamps.read(input)?, value: Value::decode(input)? });
    match count {
        0 => Ok(Register::Unwritten),
        1 => read().map(Register::One),
        _ => (0..count).map(|_| read()).collect::<Result<_, _>>().map(Register::Several),
    }
}

fn encode_image(image: &[(ColumnIx, Value)], out: &mut Writer) {
    out.number(image.len() as u64);
    for (column, value) in image {
        out.number(u64::from(column.0));
        value.encode(out);
    }
}

fn decode_image(input: &mut Reader<'_>) -> Result<Vec<(ColumnIx, Value)>, Malformed> {
    let count = input.count("image", limits::COLUMNS_MAX)?;
    let mut read = || {
        let column = ColumnIx(input.bounded("image column", u64::from(u16::MAX))? as u16);
        Ok((column, Value::decode(input)?))
    };
    (0..count).map(|_| read()).collect()
}
