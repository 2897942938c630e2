//! A schema drawn from the seed, and the statements that an application runs on it. Tables are *owned*, each node writes rows of its own in them, or
//! *shared* and fought over. Where nodes do not quarrel over parents, what shared rows refer to is never deleted; where they do, everything may be, but
//! for what is referred to by keys in which case does not matter: a reference that is spelt otherwise does not name the key. Unique values are
//! *contested*, but for those of indexes whose equality only the database can tell. Where nodes quarrel over numbers, SQLite numbers the keys of some.

use std::fmt::Write as _;

use rowmesh_core::policy::{OrphanPolicy, Policies};

use crate::rng::Rng;

/// Names that need their quotes.
const TABLE_NAMES: [&str; 6] = ["goods", "Group", "two words", "naïve", "sélect", "t"];
const COLUMN_NAMES: [&str; 6] = ["name", "order", "a b", "Größe", "n", "value"];
const ON_DELETE: [&str; 4] = ["CASCADE", "SET NULL", "NO ACTION", "RESTRICT"];
const ON_UPDATE: [&str; 2] = ["CASCADE", "NO ACTION"];
/// Rows of each key shape that one owner can have, and where nodes quarrel over parents.
const KEYS: usize = 4;
const KEYS_FOR_ORPHANS: usize = 8;
/// Numbers that an application gives itself are up to this.
const NUMBERS: usize = 6;

/// What several nodes may break together.
#[derive(Debug, Clone, Copy)]
pub struct Quarrels {
    /// One takes a unique value that another has taken.
    pub over_values: bool,
    /// One deletes what another refers to.
    pub over_parents: bool,
    /// One is given a number for a row that another is given for another.
    pub over_numbers: bool,
}

/// A schema.
#[derive(Debug, Clone)]
pub struct Drawn {
    tables: Vec<Table>,
    quarrels: Quarrels,
}

#[derive(Debug, Clone)]
struct Table {
    name: &'static str,
    key: KeyShape,
    /// Whether each node writes its own rows only.
    owned: bool,
    /// Whether its rows are never deleted, nor given another key.
    lasting: bool,
    without_rowid: bool,
    strict: bool,
    columns: Vec<Column>,
    parents: Vec<Reference>,
    uniques: Vec<Unique>,
    /// Whether several nodes may take one of its unique values.
    contested: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum KeyShape {
    /// One text.
    Text,
    /// One text, in which case does not matter.
    NoCase,
    /// A text and a number.
    Composite,
    /// A number that SQLite gives, never twice if so wished.
    Number { never_twice: bool },
    /// The key of a parent, and a number: a line of an order.
    Line(usize),
}

#[derive(Debug, Clone)]
struct Column {
    name: &'static str,
    kind: Kind,
    not_null: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Integer,
    Real,
    Blob,
    Any,
}

/// A foreign key beside the table's own.
#[derive(Debug, Clone)]
struct Reference {
    parent: usize,
    not_null: bool,
    on_delete: &'static str,
    on_update: &'static str,
    deferred: bool,
    orphans: OrphanPolicy,
}

/// A unique index over columns of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unique {
    Column,
    NoCase,
    Pair,
    Partial,
    Expression,
}

impl Drawn {
    /// Draws a schema.
    pub fn draw(rng: &mut Rng, quarrels: Quarrels) -> Drawn {
        let mut names = TABLE_NAMES.to_vec();
        let mut tables: Vec<Table> = Vec::new();
        // Over few rows there is more to quarrel.
        for _ in 0..rng.between(2, if quarrels.over_parents { 3 } else { 5 }) {
            let name = rng.take(&mut names);
            let table = Table::draw(rng, name, &tables, quarrels);
            tables.push(table);
        }
        Drawn { tables, quarrels }
    }

    /// What becomes of rows whose parents were deleted; the key of a line brings its parent back.
    pub fn policies(&self) -> Policies {
        let mut policies = Policies::default();
        for table in &self.tables {
            for (position, reference) in table.parents.iter().enumerate() {
                let column = reference_columns(position, &self.tables[reference.parent]).remove(0);
                let of_table = policies.tables.entry(table.name.into()).or_default();
                of_table.references.insert(column.trim_matches('"').into(), reference.orphans);
            }
        }
        policies
    }

    /// What makes it.
    pub fn ddl(&self) -> String {
        self.tables.iter().enumerate().map(|(position, table)| table.ddl(position, &self.tables)).collect()
    }

    /// The names of its tables, quoted.
    pub fn table_names(&self) -> Vec<String> {
        self.tables.iter().map(Table::quoted).collect()
    }

    /// Statements of one moment, as node `node`'s application; `value` is written by nothing else.
    pub fn statements(&self, rng: &mut Rng, node: usize, value: u64) -> String {
        match rng.below(10) {
            0..=5 => self.statement(rng, node, value),
            kind => {
                let some: Vec<String> = (0..rng.between(2, 4)).map(|_| self.statement(rng, node, value)).collect();
                let end = if kind == 6 { "ROLLBACK" } else { "COMMIT" };
                let begin = *rng.pick(&["BEGIN", "BEGIN IMMEDIATE"]);
                match rng.chance(20) {
                    true => format!(
                        "{begin}; {}; SAVEPOINT s; {}; ROLLBACK TO s; RELEASE s; {end}",
                        some[0],
                        some[1..].join("; ")
                    ),
                    false => format!("{begin}; {}; {end}", some.join("; ")),
                }
            }
        }
    }

    fn statement(&self, rng: &mut Rng, node: usize, value: u64) -> String {
        let table = rng.pick(&self.tables);
        let (name, owner) = (table.quoted(), table.owned.then_some(node));
        let key = self.key(rng, table, owner);
        let by_key = conditions(&table.key_columns(), &key);
        let number = |rng: &mut Rng| vec![rng.between(1, NUMBERS).to_string()];
        match rng.below(if table.lasting { 8 } else { 14 }) {
            0 | 1 => self.insert(rng, table, "INSERT", owner, node, value, &key),
            2 => self.insert(rng, table, "INSERT OR IGNORE", owner, node, value, &key),
            3 => {
                let sets = self.sets(rng, table, owner, node, value);
                let insert = self.insert(rng, table, "INSERT", owner, node, value, &key);
                format!("{insert} ON CONFLICT ({}) DO UPDATE SET {sets}", table.key_columns().join(", "))
            }
            4..=6 => format!("UPDATE {name} SET {} WHERE {by_key}", self.sets(rng, table, owner, node, value)),
            7 => format!("UPDATE {name} SET {} WHERE {}", table.plain_sets(rng, value), table.all_of(owner)),
            8 => self.insert(rng, table, "INSERT OR REPLACE", owner, node, value, &key),
            9 => {
                let sets = self.sets(rng, table, owner, node, value);
                format!("UPDATE OR REPLACE {name} SET {sets} WHERE {by_key}")
            }
            10 => format!("DELETE FROM {name} WHERE {by_key}"),
            11 if rng.chance(30) => format!("DELETE FROM {name} WHERE {}", table.all_of(owner)),
            11 | 12 => {
                let new = if table.is_numbered() { number(rng) } else { self.key(rng, table, owner) };
                let sets: Vec<String> =
                    table.key_columns().iter().zip(&new).map(|(column, value)| format!("{column} = {value}")).collect();
                let verb = *rng.pick(&["UPDATE", "UPDATE OR REPLACE"]);
                format!("{verb} {name} SET {} WHERE {by_key}", sets.join(", "))
            }
            _ => {
                let insert = self.insert(rng, table, "INSERT", owner, node, value, &key);
                format!("DELETE FROM {name} WHERE {by_key}; {insert}")
            }
        }
    }

    /// A key of a table as SQL literals, one of few.
    fn key(&self, rng: &mut Rng, table: &Table, owner: Option<usize>) -> Vec<String> {
        let place = owner.map_or(String::new(), |owner| format!("{owner}-"));
        let row = rng.below(if self.quarrels.over_parents { KEYS_FOR_ORPHANS } else { KEYS });
        match table.key {
            KeyShape::Text => vec![format!("'k{place}{row}'")],
            KeyShape::NoCase => vec![format!("'{}{place}{row}'", rng.pick(&["k", "K"]))],
            KeyShape::Composite => vec![format!("'k{place}{}'", row / 2), rng.below(2).to_string()],
            // One that stands: nobody knows beforehand which numbers there will be.
            KeyShape::Number { .. } => {
                vec![format!("(SELECT id FROM {} ORDER BY id LIMIT 1 OFFSET {row})", table.quoted())]
            }
            KeyShape::Line(parent) => {
                let parent = &self.tables[parent];
                let mut key = self.key(rng, parent, parent.owned.then_some(owner.unwrap_or(0)));
                key.push(rng.below(3).to_string());
                key
            }
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn insert(
        &self,
        rng: &mut Rng,
        table: &Table,
        verb: &str,
        owner: Option<usize>,
        node: usize,
        value: u64,
        key: &[String],
    ) -> String {
        let mut names = table.key_columns();
        let mut values = key.to_vec();
        if table.is_numbered() {
            match verb == "INSERT" && rng.chance(70) {
                true => values = vec!["NULL".to_owned()],
                false => values = vec![rng.between(1, NUMBERS).to_string()],
            }
        }
        for (column, literal) in self.assignments(rng, table, owner, node, value, true) {
            names.push(column);
            values.push(literal);
        }
        format!("{verb} INTO {} ({}) VALUES ({})", table.quoted(), names.join(", "), values.join(", "))
    }

    fn sets(&self, rng: &mut Rng, table: &Table, owner: Option<usize>, node: usize, value: u64) -> String {
        let mut all = self.assignments(rng, table, owner, node, value, false);
        rng.shuffle(&mut all);
        all.truncate(rng.between(1, all.len()));
        all.iter().map(|(column, literal)| format!("{column} = {literal}")).collect::<Vec<_>>().join(", ")
    }

    /// Every column that is not in the key, with something to write. An insert may leave out what has a default.
    fn assignments(
        &self,
        rng: &mut Rng,
        table: &Table,
        owner: Option<usize>,
        node: usize,
        value: u64,
        inserts: bool,
    ) -> Vec<(String, String)> {
        let mut all = Vec::new();
        for column in &table.columns {
            if inserts && rng.chance(20) {
                continue;
            }
            all.push((quote(column.name), column.literal(rng, value)));
        }
        for (position, reference) in table.parents.iter().enumerate() {
            let parent = &self.tables[reference.parent];
            let columns = reference_columns(position, parent);
            let is_null = !reference.not_null && rng.chance(25);
            let key = self.key(rng, parent, parent.owned.then_some(owner.unwrap_or(node)));
            for (column, literal) in columns.into_iter().zip(key) {
                // Rather one that stands, where nodes quarrel over it.
                let stands = self.quarrels.over_parents && parent.key == KeyShape::Text;
                let one = format!("(SELECT id FROM {} WHERE id >= {literal} ORDER BY id LIMIT 1)", parent.quoted());
                let literal = if stands { one } else { literal };
                all.push((column, if is_null { "NULL".to_owned() } else { literal }));
            }
        }
        for (position, unique) in table.uniques.iter().enumerate() {
            for column in unique.columns(position) {
                let whose = if table.contested { "u".to_owned() } else { node.to_string() };
                let taken = format!("'{whose}-{}'", rng.below(4));
                all.push((column, if rng.chance(20) { "NULL".to_owned() } else { taken }));
            }
        }
        all
    }
}

impl Table {
    fn draw(rng: &mut Rng, name: &'static str, before: &[Table], quarrels: Quarrels) -> Table {
        let position = before.len();
        // A shared row that may go while another node refers to it leaves an orphan.
        let may_quarrel = |other: usize| quarrels.over_parents && before[other].key != KeyShape::NoCase;
        let may_be_parent =
            |other: &usize| may_quarrel(*other) || before[*other].lasting || before[*other].keeps_its_rows();
        let mut may_be_parents: Vec<usize> = (0..position).filter(may_be_parent).collect();
        let is_line_parent =
            |other: &usize| matches!(before[*other].key, KeyShape::Text | KeyShape::NoCase | KeyShape::Number { .. });
        let lines: Vec<usize> = may_be_parents.iter().copied().filter(is_line_parent).collect();
        let key = match rng.below(10) {
            0..=6 if quarrels.over_numbers => KeyShape::Number { never_twice: rng.chance(40) },
            0..=3 => KeyShape::Text,
            4 => KeyShape::NoCase,
            5..=6 => KeyShape::Composite,
            _ if lines.is_empty() => KeyShape::Composite,
            _ => KeyShape::Line(*rng.pick(&lines)),
        };
        // The lines of a shared row are shared.
        let on_shared = matches!(key, KeyShape::Line(parent) if !before[parent].owned);
        if on_shared {
            may_be_parents.retain(|other| may_quarrel(*other) || before[*other].lasting);
        }
        let mut parents = Vec::new();
        let references = match (quarrels.over_parents, key) {
            (false, _) => rng.below(3),
            (true, KeyShape::NoCase) => 0,
            (true, _) => rng.between(1, 2),
        };
        for _ in 0..references {
            // Where a table refers to itself twice, SQLite takes a row that refers to itself and to one that is not there.
            let is_first = !parents.iter().any(|before: &Reference| before.parent == position);
            let is_tree = is_first && rng.chance(20) && !matches!(key, KeyShape::Line(_));
            if may_be_parents.is_empty() && !is_tree {
                continue;
            }
            let parent = if is_tree { position } else { *rng.pick(&may_be_parents) };
            parents.push(Reference {
                parent,
                not_null: !is_tree && rng.chance(40),
                on_delete: ON_DELETE[rng.below(ON_DELETE.len())],
                on_update: ON_UPDATE[rng.below(ON_UPDATE.len())],
                deferred: rng.chance(25),
                orphans: if quarrels.over_parents { *rng.pick(&OrphanPolicy::ALL) } else { OrphanPolicy::default() },
            });
        }
        for reference in &mut parents {
            if reference.not_null && reference.on_delete == "SET NULL" {
                reference.on_delete = "CASCADE";
            }
        }
        let of_key = if let KeyShape::Line(parent) = key { Some(parent) } else { None };
        let refers_to = || parents.iter().map(|reference| reference.parent).chain(of_key);
        let is_tree = refers_to().any(|parent| parent == position);
        let stands_firm = |parent: usize| match parent == position {
            true => quarrels.over_parents,
            false => may_quarrel(parent) || before[parent].lasting,
        };
        let may_be_shared = key != KeyShape::NoCase && refers_to().all(stands_firm);
        let stands_on_lasting = refers_to().all(|parent| parent == position || before[parent].lasting);
        let owns_of_parent = of_key.is_some_and(|parent| before[parent].owned);
        let owned = !may_be_shared || owns_of_parent || (!on_shared && rng.chance(40));
        // Whose a row is is told by its key.
        let owned = owned && !matches!(key, KeyShape::Number { .. });
        let kinds = [Unique::Column, Unique::Column, Unique::NoCase, Unique::Pair, Unique::Partial, Unique::Expression];
        let contested = quarrels.over_values && (!owned || (!is_tree && rng.chance(40)));
        // What hides a row, or brings one back, lets nodes meet over values that are nobody else's.
        let kinds = if contested || quarrels.over_parents {
            &[Unique::Column, Unique::NoCase, Unique::Pair][..]
        } else {
            &kinds
        };
        let uniques = match owned || contested {
            true => (0..rng.below(3)).map(|_| *rng.pick(kinds)).collect(),
            false => Vec::new(),
        };
        let strict = rng.chance(30);
        let mut names = COLUMN_NAMES.to_vec();
        let mut columns = vec![Column { name: rng.take(&mut names), kind: Kind::Text, not_null: false }];
        for _ in 0..rng.below(4) {
            let kind = *rng.pick(&[Kind::Text, Kind::Integer, Kind::Real, Kind::Blob, Kind::Any]);
            columns.push(Column { name: rng.take(&mut names), kind, not_null: rng.chance(40) });
        }
        Table {
            name,
            key,
            owned,
            lasting: stands_on_lasting && rng.chance(if owned { 20 } else { 60 }),
            without_rowid: rng.chance(30) && !matches!(key, KeyShape::Number { .. }),
            strict,
            columns,
            parents,
            uniques,
            contested,
        }
    }

    /// Whether no other node takes rows away: a REPLACE does, where it writes a value that another node's row has.
    fn keeps_its_rows(&self) -> bool {
        self.owned && (!self.contested || self.uniques.is_empty())
    }

    fn quoted(&self) -> String {
        quote(self.name)
    }

    fn is_numbered(&self) -> bool {
        matches!(self.key, KeyShape::Number { .. })
    }

    /// The type of the first column of its key.
    fn key_type(&self, tables: &[Table]) -> &'static str {
        match self.key {
            KeyShape::Number { .. } => "INTEGER",
            KeyShape::Line(parent) => tables[parent].key_type(tables),
            _ => "TEXT",
        }
    }

    fn key_columns(&self) -> Vec<String> {
        let names: &[&str] = match self.key {
            KeyShape::Text | KeyShape::NoCase | KeyShape::Number { .. } => &["id"],
            KeyShape::Composite => &["place", "number"],
            KeyShape::Line(_) => &["owner", "line no"],
        };
        names.iter().map(|name| quote(name)).collect()
    }

    /// All rows that this owner may write.
    fn all_of(&self, owner: Option<usize>) -> String {
        let key = &self.key_columns()[0];
        owner.map_or("1".to_owned(), |owner| format!("{key} LIKE 'k{owner}-%'"))
    }

    /// For every row at once: columns that neither refer to anything nor are unique.
    fn plain_sets(&self, rng: &mut Rng, value: u64) -> String {
        let sets: Vec<String> = (self.columns.iter().filter(|_| rng.chance(70)))
            .map(|column| format!("{} = {}", quote(column.name), column.kind.literal(value)))
            .collect();
        match sets.is_empty() {
            true => format!("{} = {}", quote(self.columns[0].name), self.columns[0].kind.literal(value)),
            false => sets.join(", "),
        }
    }

    fn ddl(&self, position: usize, tables: &[Table]) -> String {
        let mut lines = Vec::new();
        let keys = self.key_columns();
        let number = if self.strict { "INT" } else { "INTEGER" };
        match self.key {
            KeyShape::Text => lines.push(format!("{} TEXT NOT NULL", keys[0])),
            KeyShape::NoCase => lines.push(format!("{} TEXT COLLATE NOCASE NOT NULL", keys[0])),
            KeyShape::Number { never_twice } => {
                let rest = if never_twice { " AUTOINCREMENT" } else { "" };
                lines.push(format!("{} INTEGER PRIMARY KEY{rest}", keys[0]));
            }
            KeyShape::Composite | KeyShape::Line(_) => {
                lines.push(format!("{} {} NOT NULL", keys[0], self.key_type(tables)));
                lines.push(format!("{} {number} NOT NULL", keys[1]));
            }
        }
        for column in &self.columns {
            lines.push(column.ddl(self.strict));
        }
        let mut constraints = Vec::new();
        if !self.is_numbered() {
            constraints.push(format!("PRIMARY KEY ({})", keys.join(", ")));
        }
        if let KeyShape::Line(parent) = self.key {
            let parent = &tables[parent];
            let keys_there = parent.key_columns().join(", ");
            let rest = "ON DELETE CASCADE ON UPDATE CASCADE";
            constraints.push(format!("FOREIGN KEY ({}) REFERENCES {} ({keys_there}) {rest}", keys[0], parent.quoted()));
        }
        for (number_of, reference) in self.parents.iter().enumerate() {
            let parent = &tables[reference.parent];
            let columns = reference_columns(number_of, parent);
            let types = [parent.key_type(tables), number];
            let not_null = if reference.not_null { " NOT NULL" } else { "" };
            lines.extend(columns.iter().zip(types).map(|(column, kind)| format!("{column} {kind}{not_null}")));
            constraints.push(format!(
                "FOREIGN KEY ({}) REFERENCES {} ({}) ON DELETE {} ON UPDATE {}{}",
                columns.join(", "),
                parent.quoted(),
                parent.key_columns().join(", "),
                reference.on_delete,
                reference.on_update,
                if reference.deferred { " DEFERRABLE INITIALLY DEFERRED" } else { "" }
            ));
        }
        let mut indexes = String::new();
        for (number_of, unique) in self.uniques.iter().enumerate() {
            let columns = unique.columns(number_of);
            lines.extend(columns.iter().map(|column| format!("{column} TEXT")));
            let over = match unique {
                Unique::Column | Unique::Pair => columns.join(", "),
                Unique::NoCase => format!("{} COLLATE NOCASE", columns[0]),
                Unique::Partial => format!("{0}) WHERE ({0} <> '0-0'", columns[0]),
                Unique::Expression => format!("lower({})", columns[0]),
            };
            writeln!(indexes, "CREATE UNIQUE INDEX u{position}_{number_of} ON {} ({over});", self.quoted())
                .expect("writing to a String never fails");
        }
        let options = [(self.without_rowid, "WITHOUT ROWID"), (self.strict, "STRICT")];
        let options: Vec<&str> = options.iter().filter(|(wanted, _)| *wanted).map(|(_, option)| *option).collect();
        lines.append(&mut constraints);
        format!("CREATE TABLE {} ({}) {};\n{indexes}", self.quoted(), lines.join(",\n  "), options.join(", "))
    }
}

impl Column {
    fn ddl(&self, strict: bool) -> String {
        let kind = match (self.kind, strict) {
            (Kind::Text, _) => "TEXT",
            (Kind::Integer, _) => "INTEGER",
            (Kind::Real, _) => "REAL",
            (Kind::Blob, _) => "BLOB",
            (Kind::Any, true) => "ANY",
            (Kind::Any, false) => "",
        };
        let rest = if self.not_null { format!(" NOT NULL DEFAULT {}", self.kind.default()) } else { String::new() };
        format!("{} {kind}{rest}", quote(self.name))
    }

    fn literal(&self, rng: &mut Rng, value: u64) -> String {
        if !self.not_null && rng.chance(15) {
            return "NULL".to_owned();
        }
        match self.kind {
            Kind::Any => rng.pick(&[Kind::Text, Kind::Integer, Kind::Real, Kind::Blob]).literal(value),
            kind => kind.literal(value),
        }
    }
}

impl Kind {
    fn literal(self, value: u64) -> String {
        match self {
            Kind::Text | Kind::Any => format!("'v{value}'"),
            Kind::Integer => value.to_string(),
            Kind::Real => format!("{value}.5"),
            Kind::Blob => format!("x'{value:016x}'"),
        }
    }

    fn default(self) -> &'static str {
        match self {
            Kind::Text | Kind::Any => "'none'",
            Kind::Integer => "0",
            Kind::Real => "0.5",
            Kind::Blob => "x''",
        }
    }
}

impl Unique {
    fn columns(self, position: usize) -> Vec<String> {
        match self {
            Unique::Pair => vec![format!("u{position}a"), format!("u{position}b")],
            _ => vec![format!("u{position}")],
        }
    }
}

fn reference_columns(position: usize, parent: &Table) -> Vec<String> {
    (0..parent.key_columns().len()).map(|part| format!("r{position}_{part}")).collect()
}

fn conditions(columns: &[String], values: &[String]) -> String {
    columns.iter().zip(values).map(|(column, value)| format!("{column} = {value}")).collect::<Vec<_>>().join(" AND ")
}

fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
