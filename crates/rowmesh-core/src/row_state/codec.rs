//! The compact bytes of a row state at rest: origins and stamps by number, values once. Local to one node or one snapshot: the
//! origin numbers mean something only beside the table that made them.

use super::{Changes, ColumnIx, Missed, Register, RowState, Shown, Stamp, Written};
use crate::amount::Amount;
use crate::clock::Lamport;
use crate::encode::{Malformed, Reader, Writer};
use crate::event::Extras;
use crate::ident::{Origin, Seq};
use crate::limits;
use crate::value::Value;

/// First byte of a stored row state.
const VERSION: u8 = 1;
/// First byte of one that ends with what its writes have missed.
const VERSION_MISSED: u8 = 2;

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
    out.byte(if state.missed.is_empty() { VERSION } else { VERSION_MISSED });
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
    if !state.missed.is_empty() {
        encode_missed(&state.missed, &stamps, out);
    }
}

/// Reads what [`encode`] wrote.
///
/// # Errors
/// If the bytes are anything else, or name an origin that the table does not know.
pub fn decode(input: &mut Reader<'_>, origins: &dyn OriginTable) -> Result<RowState, Malformed> {
    let version = input.byte("row state version")?;
    if version != VERSION && version != VERSION_MISSED {
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
    let count = input.count("witnesses", limits::ROW_WRITES_MAX)?;
    let witnesses =
        (0..count).map(|_| Ok((stamps.read(input)?, decode_image(input)?))).collect::<Result<_, Malformed>>()?;
    let count = input.count("extras", limits::ROW_WRITES_MAX)?;
    let extras =
        (0..count).map(|_| Ok((stamps.read(input)?, decode_fields(input)?))).collect::<Result<_, Malformed>>()?;
    let missed = if version == VERSION_MISSED { decode_missed(input, &stamps)? } else { Vec::new() };
    Ok(RowState { births, registers, live, deletes, witnesses, extras, missed, shown })
}

/// A state of the usual form: the row lives and stands as its writes left it, each column with at most one of them, and nothing was deleted,
/// stands beside something else or carries extras. Whatever the policy, it is shown as it stands. Its origins are still numbers, so that it can be
/// carried over to other numbers of origins and columns without more ado.
#[derive(Debug)]
pub struct Plain {
    stamps: Vec<(usize, Seq, Lamport)>,
    births: Vec<u64>,
    live: Vec<u64>,
    writes: Vec<Option<(u64, Value)>>,
}

impl Plain {
    /// Reads a state; `None` if it is of another form.
    ///
    /// # Errors
    /// If the bytes are no state.
    pub fn decode(bytes: &[u8]) -> Result<Option<Plain>, Malformed> {
        let mut input = Reader::new(bytes);
        match input.byte("row state version")? {
            VERSION => {}
            VERSION_MISSED => return Ok(None),
            _ => return Err(Malformed::Invalid("row state version")),
        }
        let count = input.count("stamps", limits::ROW_WRITES_MAX)?;
        let mut stamps = Vec::with_capacity(count);
        for _ in 0..count {
            let origin = input.bounded("origin number", u64::from(u32::MAX))? as usize;
            let seq = input.seq("seq")?;
            stamps.push((origin, seq, Lamport(input.bounded("lamport", limits::NUMBER_MAX)?)));
        }
        let (births, live) = (plain_list(&mut input, count)?, plain_list(&mut input, count)?);
        if live.is_empty() || input.count("stamp list", limits::ROW_WRITES_MAX)? != 0 {
            return Ok(None);
        }
        let mut writes = Vec::with_capacity(input.rest().min(limits::COLUMNS_MAX));
        for _ in 0..input.count("registers", limits::COLUMNS_MAX)? {
            writes.push(match input.count("writes", limits::ROW_WRITES_MAX)? {
                0 => None,
                1 => Some((plain_stamp(&mut input, count)?, Value::decode(&mut input)?)),
                _ => return Ok(None),
            });
        }
        let is_plain = input.byte("shown")? == 1
            && input.count("witnesses", limits::ROW_WRITES_MAX)? == 0
            && input.count("extras", limits::ROW_WRITES_MAX)? == 0;
        if !is_plain {
            return Ok(None);
        }
        input.end("row state")?;
        Ok(Some(Plain { stamps, births, live, writes }))
    }

    /// The values that stand, with the columns' numbers.
    pub fn values(&self) -> impl Iterator<Item = (usize, &Value)> {
        let written = self.writes.iter().enumerate();
        written.filter_map(|(column, write)| write.as_ref().map(|(_, value)| (column, value)))
    }

    /// Appends the bytes of the same state under other numbers: of origins, which were numbered from 1, and of columns.
    ///
    /// # Errors
    /// If it names an origin or a column that has none.
    pub fn encode(&self, origins: &[u32], columns: &[ColumnIx], out: &mut Writer) -> Result<(), Malformed> {
        out.byte(VERSION);
        out.number(self.stamps.len() as u64);
        for (origin, seq, lamport) in &self.stamps {
            let here = origin.checked_sub(1).and_then(|position| origins.get(position));
            out.number(u64::from(*here.ok_or(Malformed::Invalid("origin number"))?));
            out.number(seq.0);
            out.number(lamport.0);
        }
        for list in [&self.births, &self.live] {
            out.number(list.len() as u64);
            list.iter().for_each(|stamp| out.number(*stamp));
        }
        out.number(0);
        let is_same = self.writes.len() <= columns.len()
            && columns.iter().take(self.writes.len()).enumerate().all(|(there, here)| usize::from(here.0) == there);
        if is_same {
            out.number(self.writes.len() as u64);
            self.writes.iter().for_each(|write| encode_write(write.as_ref(), out));
        } else {
            let mut here: Vec<Option<&(u64, Value)>> = Vec::new();
            for (there, write) in self.writes.iter().enumerate() {
                let column = usize::from(columns.get(there).ok_or(Malformed::Invalid("column number"))?.0);
                here.resize(here.len().max(column + 1), None);
                here[column] = write.as_ref();
            }
            out.number(here.len() as u64);
            here.into_iter().for_each(|write| encode_write(write, out));
        }
        // It stands as written, and has met nothing.
        out.raw(&[1, 0, 0]);
        Ok(())
    }
}

fn encode_write(write: Option<&(u64, Value)>, out: &mut Writer) {
    out.number(u64::from(write.is_some()));
    if let Some((stamp, value)) = write {
        out.number(*stamp);
        value.encode(out);
    }
}

fn plain_list(input: &mut Reader<'_>, stamps: usize) -> Result<Vec<u64>, Malformed> {
    let count = input.count("stamp list", limits::ROW_WRITES_MAX)?;
    (0..count).map(|_| plain_stamp(input, stamps)).collect()
}

fn plain_stamp(input: &mut Reader<'_>, stamps: usize) -> Result<u64, Malformed> {
    let number = input.number("stamp")?;
    if number < stamps as u64 { Ok(number) } else { Err(Malformed::Invalid("stamp")) }
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
        for stamp in state.all_stamps() {
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
        let count = input.count("stamps", limits::ROW_WRITES_MAX)?;
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
    let count = input.count("stamp list", limits::ROW_WRITES_MAX)?;
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
    let count = input.count("writes", limits::ROW_WRITES_MAX)?;
    let mut read = || Ok(Written { stamp: stamps.read(input)?, value: Value::decode(input)? });
    match count {
        0 => Ok(Register::Unwritten),
        1 => read().map(Register::One),
        _ => (0..count).map(|_| read()).collect::<Result<_, _>>().map(Register::Several),
    }
}

fn encode_missed(missed: &[Missed], stamps: &Stamps, out: &mut Writer) {
    out.number(missed.len() as u64);
    for Missed { column, stamp, changes } in missed {
        out.number(u64::from(column.0));
        out.number(stamps.number(stamp));
        changes.by.encode(out);
        encode_stamp_list(changes.last_to.as_slice(), stamps, out);
    }
}

fn decode_missed(input: &mut Reader<'_>, stamps: &Stamps) -> Result<Vec<Missed>, Malformed> {
    let count = input.count("missed changes", limits::ROW_WRITES_MAX)?;
    let mut read = || {
        let column = ColumnIx(input.bounded("column of a missed change", u64::from(u16::MAX))? as u16);
        let stamp = stamps.read(input)?;
        let by = Amount::decode(input)?;
        let last_to = match decode_stamp_list(input, stamps)?[..] {
            [] => None,
            [last] => Some(last),
            _ => return Err(Malformed::Invalid("last word on a number")),
        };
        let changes = Changes { by, last_to };
        Ok(Missed { column, stamp, changes })
    };
    (0..count).map(|_| read()).collect()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ident::{Incarnation, NodeId};

    fn origin(name: u8) -> Origin {
        Origin { node: NodeId([name; 32]), incarnation: Incarnation { count: 1, nonce: 1 } }
    }

    fn stamp(name: u8, seq: u64) -> Stamp {
        Stamp::new(Lamport(100 + seq), origin(name), Seq(seq))
    }

    fn state() -> RowState {
        let (first, second) = (stamp(1, 1), stamp(2, 7));
        let mut state =
            RowState { births: vec![first], live: vec![first, second], shown: Shown::AsWritten, ..RowState::default() };
        state.write(ColumnIx(0), first, Value::text("key"));
        state.write(ColumnIx(2), second, Value::Integer(7));
        state
    }

    fn missed() -> Vec<Missed> {
        let changes = Changes { by: Amount::of(&Value::Integer(-3)).unwrap(), last_to: Some(stamp(1, 4)) };
        let of = |column, changes| Missed { column: ColumnIx(column), stamp: stamp(2, 7), changes };
        vec![of(0, Changes::default()), of(2, changes)]
    }

    #[test]
    fn what_writes_have_missed_is_kept_with_the_row() {
        let (state, mut origins) = (RowState { missed: missed(), ..state() }, Vec::new());
        let mut bytes = Writer::default();
        encode(&state, &mut origins, &mut bytes);
        let mut input = Reader::new(&bytes.0);
        assert_eq!(decode(&mut input, &origins), Ok(state));
        assert!(input.end("row state").is_ok());
        for end in 0..bytes.0.len() {
            assert!(decode(&mut Reader::new(&bytes.0[..end]), &origins).is_err(), "cut at {end}");
        }
    }

    #[test]
    fn whatever_is_kept_of_a_row_can_be_read_again_however_much_a_member_wrote() {
        let mut state = state();
        let write = |seq: u64| Written { stamp: stamp(3, seq), value: Value::Integer(seq as i64) };
        state.registers[2] = Register::Several((1..=5_000).map(write).collect());
        state.births = (1..=5_000).map(|seq| stamp(3, seq)).collect();
        state.deletes = (1..=5_000).map(|seq| stamp(4, seq)).collect();
        let (mut origins, mut bytes) = (Vec::new(), Writer::default());
        encode(&state, &mut origins, &mut bytes);
        assert_eq!(decode(&mut Reader::new(&bytes.0), &origins), Ok(state));
    }

    /// Numbered from 1.
    struct Numbered(Vec<Origin>);

    impl OriginTable for Numbered {
        fn number(&mut self, origin: &Origin) -> u32 {
            self.0.number(origin) + 1
        }

        fn origin(&self, number: u32) -> Option<Origin> {
            self.0.origin(number.checked_sub(1)?)
        }
    }

    fn carried(state: &RowState, columns: &[ColumnIx]) -> Option<RowState> {
        let (mut there, here) = (Numbered(Vec::new()), Numbered(vec![origin(9), origin(2), origin(1)]));
        let (mut bytes, mut out) = (Writer::default(), Writer::default());
        encode(state, &mut there, &mut bytes);
        let numbers: Vec<u32> =
            there.0.iter().map(|known| 1 + here.0.iter().position(|it| it == known).unwrap() as u32).collect();
        Plain::decode(&bytes.0).unwrap()?.encode(&numbers, columns, &mut out).unwrap();
        Some(decode(&mut Reader::new(&out.0), &here).unwrap())
    }

    #[test]
    fn a_plain_state_is_the_same_under_other_numbers() {
        let same = [ColumnIx(0), ColumnIx(1), ColumnIx(2)];
        assert_eq!(carried(&state(), &same), Some(state()));
        let mut turned = RowState { registers: Vec::new(), ..state() };
        turned.write(ColumnIx(4), stamp(1, 1), Value::text("key"));
        turned.write(ColumnIx(1), stamp(2, 7), Value::Integer(7));
        assert_eq!(carried(&state(), &[ColumnIx(4), ColumnIx(0), ColumnIx(1)]), Some(turned));
    }

    #[test]
    fn whatever_a_policy_or_a_neighbour_may_judge_is_not_plain() {
        let same = [ColumnIx(0), ColumnIx(1), ColumnIx(2)];
        let mut two = state();
        let written = |name| Written { stamp: stamp(name, 1), value: Value::Null };
        two.registers[1] = Register::Several(vec![written(1), written(2)]);
        let others = [
            RowState { deletes: vec![stamp(1, 9)], ..state() },
            RowState { live: Vec::new(), ..state() },
            RowState { shown: Shown::Absent, ..state() },
            RowState { shown: Shown::Image(vec![(ColumnIx(0), Value::Null)]), ..state() },
            RowState { witnesses: vec![(stamp(1, 1), Vec::new())], ..state() },
            RowState { extras: vec![(stamp(1, 1), Extras::default())], ..state() },
            RowState { missed: missed(), ..state() },
            two,
        ];
        for other in others {
            assert_eq!(carried(&other, &same), None, "{other:?}");
        }
    }

    #[test]
    fn damaged_bytes_are_no_plain_state() {
        let mut bytes = Writer::default();
        encode(&state(), &mut Numbered(Vec::new()), &mut bytes);
        for end in 0..bytes.0.len() {
            assert!(Plain::decode(&bytes.0[..end]).is_err(), "cut at {end}");
        }
        let plain = Plain::decode(&bytes.0).unwrap().expect("plain");
        assert!(plain.encode(&[1], &[ColumnIx(0); 3], &mut Writer::default()).is_err(), "an unknown origin");
        assert!(plain.encode(&[1, 2], &[ColumnIx(0)], &mut Writer::default()).is_err(), "an unknown column");
    }
}
