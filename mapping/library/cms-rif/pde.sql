-- One row a Part D event. The latest delivery of an event wins; a deleted one and
-- one that is not the final action are left out.
SELECT p.*
FROM (SELECT x.*,
             row_number() OVER (PARTITION BY x.bene_id, x.pde_id
                                ORDER BY x.delivery DESC, CASE x.dml_ind WHEN 'INSERT' THEN 0 WHEN 'UPDATE' THEN 1 ELSE 2 END DESC) AS version_rank
      FROM rif.pde x) p
WHERE p.version_rank = 1 AND p.dml_ind <> 'DELETE' AND p.final_action = 'F'
