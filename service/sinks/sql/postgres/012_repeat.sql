-- Two pages of a run may store versions of one row at the same moment. Neither statement sees the other's; the later one
-- finds it when it has waited for the row, and then must begin anew to report it.
create function sluice_repeat() returns boolean language plpgsql as $$
begin
    raise unique_violation using message = 'another page of the run has stored this row at the same moment';
end
$$;
comment on function sluice_repeat is 'Undoes a statement, as a row does that another transaction has inserted meanwhile.';
