//! The application on several nodes: its schema, its data and its workload through the sealer, the log and the stores of Rowmesh.
//! Not here: how changesets travel (they are carried by hand), and what one table's rows can do to each other, which are the
//! stores' own tests.

/// Runs each of these tests on a mesh of each make.
macro_rules! on_each_mesh {
    (@$place:ident $mesh:ident $($test:ident)*) => {
        mod $place {
            $(
                #[test]
                fn $test() {
                    super::$test(crate::node::Mesh::$mesh);
                }
            )*
        }
    };
    ($($test:ident)*) => {
        on_each_mesh!(@on_sqlite SQLITE $($test)*);
        on_each_mesh!(@on_postgres POSTGRES $($test)*);
        on_each_mesh!(@from_postgres_to_sqlite FROM_POSTGRES $($test)*);
        on_each_mesh!(@from_sqlite_to_postgres FROM_SQLITE $($test)*);
    };
}

mod demo;
mod every_table;
mod node;
mod rows;
#[path = "../support/server.rs"]
mod server;
#[path = "../support/mod.rs"]
mod support;
mod work;
