-- Rows under which others are read, in both databases: in the order of their keys, behind $2. In braces: the table, and
-- the columns that a path names.

-- name: parents
select id{columns} from "{table}" as parent where org = $1 and id > $2 and deleted_at is null {which} order by id limit $3

-- name: unread
and not exists (
    select 1 from sluice_pages as line where line.run_id = ${run} and line.parent = parent.id and line.is_last
)

-- name: changed
-- Those that changed since they were read under, and the first of those that nobody has read under since ${due}.
and (
    not exists (
        select 1 from sluice_parents as known
        where (known.org, known.adapter, known.entity) = ($1, ${adapter}, ${entity}) and known.parent = parent.id
            and known.read_at > parent.fetched_at
    )
    or parent.id in (
        select oldest.parent from sluice_parents as oldest
        where (oldest.org, oldest.adapter, oldest.entity) = ($1, ${adapter}, ${entity}) and oldest.read_at < ${due}
        order by oldest.read_at, oldest.parent limit ${most}
    )
)
