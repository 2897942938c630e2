//! How a PostgreSQL database is named, for those who open nodes: what people write, taken apart. Opens nothing.

pub use rowmesh_postgres::location::Location;
pub use rowmesh_postgres::url::{Surroundings, UrlError, is_postgres, of_variables, parse};
