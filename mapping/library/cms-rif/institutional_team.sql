-- The practitioners of an institutional claim, one row a role and NPI.
SELECT DISTINCT t.layout, t.bene_id, t.clm_id, t.role, t.role_rank, t.npi
FROM (SELECT u.*,
             rank() OVER (PARTITION BY u.bene_id, u.layout, u.clm_id
                          ORDER BY u.delivery DESC, CASE u.dml_ind WHEN 'INSERT' THEN 0 WHEN 'UPDATE' THEN 1 ELSE 2 END DESC) AS version_rank
      FROM (
  SELECT 'inpatient' AS layout, x.bene_id, x.clm_id, x.delivery, x.dml_ind, 'attending' AS role, 1 AS role_rank, trim(x.at_physn_npi) AS npi FROM rif.inpatient x
  UNION ALL
  SELECT 'snf' AS layout, x.bene_id, x.clm_id, x.delivery, x.dml_ind, 'attending' AS role, 1 AS role_rank, trim(x.at_physn_npi) AS npi FROM rif.snf x
  UNION ALL
  SELECT 'outpatient' AS layout, x.bene_id, x.clm_id, x.delivery, x.dml_ind, 'attending' AS role, 1 AS role_rank, trim(x.at_physn_npi) AS npi FROM rif.outpatient x
  UNION ALL
  SELECT 'hha' AS layout, x.bene_id, x.clm_id, x.delivery, x.dml_ind, 'attending' AS role, 1 AS role_rank, trim(x.at_physn_npi) AS npi FROM rif.hha x
  UNION ALL
  SELECT 'hospice' AS layout, x.bene_id, x.clm_id, x.delivery, x.dml_ind, 'attending' AS role, 1 AS role_rank, trim(x.at_physn_npi) AS npi FROM rif.hospice x
  UNION ALL
  SELECT 'inpatient' AS layout, x.bene_id, x.clm_id, x.delivery, x.dml_ind, 'operating' AS role, 2 AS role_rank, trim(x.op_physn_npi) AS npi FROM rif.inpatient x
  UNION ALL
  SELECT 'snf' AS layout, x.bene_id, x.clm_id, x.delivery, x.dml_ind, 'operating' AS role, 2 AS role_rank, trim(x.op_physn_npi) AS npi FROM rif.snf x
  UNION ALL
  SELECT 'outpatient' AS layout, x.bene_id, x.clm_id, x.delivery, x.dml_ind, 'operating' AS role, 2 AS role_rank, trim(x.op_physn_npi) AS npi FROM rif.outpatient x
  UNION ALL
  SELECT 'inpatient' AS layout, x.bene_id, x.clm_id, x.delivery, x.dml_ind, 'otheroperating' AS role, 3 AS role_rank, trim(x.ot_physn_npi) AS npi FROM rif.inpatient x
  UNION ALL
  SELECT 'snf' AS layout, x.bene_id, x.clm_id, x.delivery, x.dml_ind, 'otheroperating' AS role, 3 AS role_rank, trim(x.ot_physn_npi) AS npi FROM rif.snf x
  UNION ALL
  SELECT 'outpatient' AS layout, x.bene_id, x.clm_id, x.delivery, x.dml_ind, 'otheroperating' AS role, 3 AS role_rank, trim(x.ot_physn_npi) AS npi FROM rif.outpatient x
      ) u) t
WHERE t.version_rank = 1 AND t.npi <> ''
