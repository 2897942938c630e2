-- What stands in a database, as far as keeping it in sync needs to know. Four queries, each read by `catalog.rs` in one go.

-- relations: tables of the application and what looks like them. Tables of other sessions' own (temporary ones) are nobody's business.
SELECT c.oid, n.nspname::text, c.relname::text, c.relkind::text, c.relpersistence::text, c.relispartition,
       EXISTS (SELECT FROM pg_catalog.pg_inherits i WHERE i.inhrelid = c.oid) AS inherits,
       EXISTS (SELECT FROM pg_catalog.pg_inherits i WHERE i.inhparent = c.oid) AS has_heirs,
       EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e') AS of_extension,
       (SELECT pg_catalog.count(*) FROM pg_catalog.pg_constraint k WHERE k.conrelid = c.oid AND k.contype = 'x') AS exclusions,
       c.relfilenode,
       pg_catalog.has_table_privilege(c.oid, 'SELECT') OR NOT EXISTS (
           SELECT FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
                   AND NOT pg_catalog.has_column_privilege(c.oid, a.attnum, 'SELECT')) AS may_be_read
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p', 'f', 'm') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'rowmesh')
   AND n.nspname NOT LIKE 'pg\_%'
 ORDER BY n.nspname, c.relname;

-- columns: with what each type is behind all domains, and the sequence that an identity or a default draws from. Of a NOT NULL that is NOT
-- VALID (since 18) older rows know nothing.
SELECT a.attrelid, a.attnum, a.attname::text, pg_catalog.format_type(a.atttypid, a.atttypmod), pg_catalog.format('%I.%I', tn.nspname, dt.typname),
       bottom.refuses_null OR a.attnotnull AND NOT EXISTS (
           SELECT FROM pg_catalog.pg_constraint k WHERE k.conrelid = a.attrelid AND k.contype = 'n' AND k.conkey[1] = a.attnum AND NOT k.convalidated), a.attgenerated <> '', a.attidentity::text, pg_catalog.pg_get_expr(d.adbin, d.adrelid),
       bottom.mod, t.typname::text, t.typtype::text, t.typcategory::text,
       COALESCE(e.typname::text || '[]', t.typname::text), e.typname::text,
       CASE WHEN a.attidentity <> '' THEN (
                SELECT p.objid FROM pg_catalog.pg_depend p
                 WHERE p.refclassid = 'pg_catalog.pg_class'::regclass AND p.refobjid = a.attrelid AND p.refobjsubid = a.attnum
                   AND p.classid = 'pg_catalog.pg_class'::regclass AND p.deptype = 'i')
            WHEN d.oid IS NOT NULL THEN (
                SELECT min(s.oid) FROM pg_catalog.pg_depend p JOIN pg_catalog.pg_class s ON s.oid = p.refobjid AND s.relkind = 'S'
                 WHERE p.classid = 'pg_catalog.pg_attrdef'::regclass AND p.objid = d.oid
                   AND p.refclassid = 'pg_catalog.pg_class'::regclass)
       END
  FROM pg_catalog.pg_attribute a
  JOIN pg_catalog.pg_class c ON c.oid = a.attrelid AND c.relkind IN ('r', 'p')
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_catalog.pg_type dt ON dt.oid = a.atttypid
  JOIN pg_catalog.pg_namespace tn ON tn.oid = dt.typnamespace
  LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
  CROSS JOIN LATERAL (
       WITH RECURSIVE behind AS (
            SELECT y.oid, y.typtype, y.typbasetype, a.atttypmod AS mod, y.typtypmod, y.typnotnull AS refuses_null
              FROM pg_catalog.pg_type y WHERE y.oid = a.atttypid
            UNION ALL
            SELECT y.oid, y.typtype, y.typbasetype, b.typtypmod, y.typtypmod, b.refuses_null OR y.typnotnull
              FROM behind b JOIN pg_catalog.pg_type y ON y.oid = b.typbasetype WHERE b.typtype = 'd')
       SELECT * FROM behind WHERE typtype <> 'd') bottom
  JOIN pg_catalog.pg_type t ON t.oid = bottom.oid
  LEFT JOIN pg_catalog.pg_type e ON e.oid = t.typelem AND t.typcategory = 'A'
 WHERE a.attnum > 0 AND NOT a.attisdropped AND NOT c.relispartition
   AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'rowmesh') AND n.nspname NOT LIKE 'pg\_%'
 ORDER BY a.attrelid, a.attnum;

-- uniques: a line per column of every unique index, attribute number 0 for an expression; and of exclusion constraints as far as they are checked
-- late. Temporal keys (WITHOUT OVERLAPS, since 18) are both. What came after 14 is asked for by name, for what has no such column.
SELECT i.indrelid, x.relname::text, i.indisprimary, i.indpred IS NOT NULL, i.indimmediate, k.number::int2,
       COALESCE(l.collname::text, ''), COALESCE(l.collisdeterministic, true), i.indisunique, i.indisexclusion,
       CASE WHEN i.indisexclusion THEN (
                SELECT pg_catalog.format('OPERATOR(%I.%s)', s.nspname, o.oprname)
                  FROM pg_catalog.pg_constraint e
                  JOIN pg_catalog.pg_operator o ON o.oid = e.conexclop[k.place]
                  JOIN pg_catalog.pg_namespace s ON s.oid = o.oprnamespace
                 WHERE e.conrelid = i.indrelid AND e.conindid = i.indexrelid)
            WHEN pg_catalog.to_jsonb(i) ->> 'indnullsnotdistinct' = 'true' THEN 'IS NOT DISTINCT FROM'
            ELSE '=' END
  FROM pg_catalog.pg_index i
  JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid
  JOIN pg_catalog.pg_class c ON c.oid = i.indrelid AND NOT c.relispartition AND c.relkind IN ('r', 'p')
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  CROSS JOIN LATERAL unnest(i.indkey::int2[], i.indcollation::oid[]) WITH ORDINALITY k (number, colloid, place)
  LEFT JOIN pg_catalog.pg_collation l ON l.oid = k.colloid
 WHERE (i.indisunique OR i.indisexclusion AND NOT i.indimmediate) AND i.indisvalid AND k.place <= i.indnkeyatts
   AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'rowmesh') AND n.nspname NOT LIKE 'pg\_%'
 ORDER BY i.indrelid, x.relname, k.place;

-- foreign keys: one line each; those that partitions inherit are the whole table's, those that are NOT ENFORCED (since 18) are none.
SELECT f.conrelid, f.confrelid, f.conkey, f.confkey, f.confdeltype::text, f.condeferrable,
       ARRAY(SELECT p.attname::text FROM pg_catalog.unnest(f.confkey) WITH ORDINALITY k (number, place)
               JOIN pg_catalog.pg_attribute p ON p.attrelid = f.confrelid AND p.attnum = k.number ORDER BY k.place),
       COALESCE(since ->> 'conperiod' = 'true', false) AS is_over_periods
  FROM pg_catalog.pg_constraint f
  CROSS JOIN LATERAL pg_catalog.to_jsonb(f) AS since
  JOIN pg_catalog.pg_class c ON c.oid = f.conrelid AND NOT c.relispartition
 WHERE f.contype = 'f' AND f.conparentid = 0 AND COALESCE(since ->> 'conenforced' = 'true', true)
 ORDER BY f.conrelid, f.conname;
