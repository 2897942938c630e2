//! The application on several nodes: its schema, its data and its workload through the sealer, the log and the stores of Rowmesh.
//! Not here: how changesets travel (they are carried by hand), and what one table's rows can do to each other, which are the
//! stores' own tests.

/// Runs each of these tests on a mesh of each make.
macro_rules! on_each_mesh {
    ($($test:ident)*) => {
        mod on_sqlite {
            $(
                #[test]
                fn $test() {
                    super::$test(crate::node::Mesh::SQLITE);
                }
            )*
        }
    };
}

mod demo;
mod every_table;
mod node;
mod rows;
#[path = "../support/mod.rs"]
mod support;
mod work;
