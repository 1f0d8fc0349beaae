-- Charge is what was submitted; a Part D event tells a drug cost instead, and counts
-- nothing here. Each code counts once a claim, as principal or other diagnosis, cause, reason of
-- the visit or admitting diagnosis.
SELECT b.bene_id AS member, coalesce(c.claims, 0) AS claims, coalesce(c.lines, 0) AS lines, coalesce(d.diagnoses, 0) AS diagnoses,
       coalesce(c.charge, 0) AS charge, coalesce(c.paid, 0) AS paid
FROM (SELECT DISTINCT bene_id FROM rif.beneficiary) b
LEFT JOIN (SELECT bene_id, count(*) AS claims, sum(lines) AS lines,
                  sum(CAST(charge AS DECIMAL(18,2))) AS charge, sum(CAST(paid AS DECIMAL(18,2))) AS paid
           FROM (
           SELECT x.bene_id, x.clm_id, max(x.nch_carr_clm_sbmtd_chrg_amt) AS charge, max(x.clm_pmt_amt) AS paid, count(*) AS lines FROM rif.carrier x GROUP BY x.bene_id, x.clm_id
           UNION ALL SELECT x.bene_id, x.clm_id, max(x.nch_carr_clm_sbmtd_chrg_amt) AS charge, max(x.clm_pmt_amt) AS paid, count(*) AS lines FROM rif.dme x GROUP BY x.bene_id, x.clm_id
           UNION ALL SELECT x.bene_id, x.clm_id, max(x.clm_tot_chrg_amt), max(x.clm_pmt_amt), count(*) FROM rif.inpatient x GROUP BY x.bene_id, x.clm_id
           UNION ALL SELECT x.bene_id, x.clm_id, max(x.clm_tot_chrg_amt), max(x.clm_pmt_amt), count(*) FROM rif.snf x GROUP BY x.bene_id, x.clm_id
           UNION ALL SELECT x.bene_id, x.clm_id, max(x.clm_tot_chrg_amt), max(x.clm_pmt_amt), count(*) FROM rif.outpatient x GROUP BY x.bene_id, x.clm_id
           UNION ALL SELECT x.bene_id, x.clm_id, max(x.clm_tot_chrg_amt), max(x.clm_pmt_amt), count(*) FROM rif.hha x GROUP BY x.bene_id, x.clm_id
           UNION ALL SELECT x.bene_id, x.clm_id, max(x.clm_tot_chrg_amt), max(x.clm_pmt_amt), count(*) FROM rif.hospice x GROUP BY x.bene_id, x.clm_id
           UNION ALL SELECT x.bene_id, x.pde_id, NULL, x.cvrd_d_plan_pd_amt, 1 FROM rif.pde x) x
           GROUP BY bene_id) c ON c.bene_id = b.bene_id
LEFT JOIN (SELECT bene_id, count(*) AS diagnoses
           FROM (
           SELECT DISTINCT x.bene_id, 'carrier' || x.clm_id AS claim, v.kind, trim(v.code) AS code FROM rif.carrier x
           CROSS JOIN LATERAL (VALUES ('dx', x.prncpal_dgns_cd), ('dx', x.line_icd_dgns_cd), ('dx', x.icd_dgns_cd1), ('dx', x.icd_dgns_cd2), ('dx',
             x.icd_dgns_cd3), ('dx', x.icd_dgns_cd4), ('dx', x.icd_dgns_cd5), ('dx', x.icd_dgns_cd6), ('dx', x.icd_dgns_cd7), ('dx', x.icd_dgns_cd8),
             ('dx', x.icd_dgns_cd9), ('dx', x.icd_dgns_cd10), ('dx', x.icd_dgns_cd11), ('dx', x.icd_dgns_cd12)) AS v (kind, code)
           WHERE trim(v.code) <> ''
           UNION ALL
           SELECT DISTINCT x.bene_id, 'dme' || x.clm_id AS claim, v.kind, trim(v.code) AS code FROM rif.dme x
           CROSS JOIN LATERAL (VALUES ('dx', x.prncpal_dgns_cd), ('dx', x.line_icd_dgns_cd), ('dx', x.icd_dgns_cd1), ('dx', x.icd_dgns_cd2), ('dx',
             x.icd_dgns_cd3), ('dx', x.icd_dgns_cd4), ('dx', x.icd_dgns_cd5), ('dx', x.icd_dgns_cd6), ('dx', x.icd_dgns_cd7), ('dx', x.icd_dgns_cd8),
             ('dx', x.icd_dgns_cd9), ('dx', x.icd_dgns_cd10), ('dx', x.icd_dgns_cd11), ('dx', x.icd_dgns_cd12)) AS v (kind, code)
           WHERE trim(v.code) <> ''
           UNION ALL
           SELECT DISTINCT x.bene_id, 'inpatient' || x.clm_id AS claim, v.kind, trim(v.code) AS code FROM rif.inpatient x
           CROSS JOIN LATERAL (VALUES ('admitting', x.admtg_dgns_cd), ('dx', x.prncpal_dgns_cd), ('cause', x.fst_dgns_e_cd), ('dx', x.icd_dgns_cd1),
             ('dx', x.icd_dgns_cd2), ('dx', x.icd_dgns_cd3), ('dx', x.icd_dgns_cd4), ('dx', x.icd_dgns_cd5), ('dx', x.icd_dgns_cd6), ('dx',
             x.icd_dgns_cd7), ('dx', x.icd_dgns_cd8), ('dx', x.icd_dgns_cd9), ('dx', x.icd_dgns_cd10), ('dx', x.icd_dgns_cd11), ('dx',
             x.icd_dgns_cd12), ('dx', x.icd_dgns_cd13), ('dx', x.icd_dgns_cd14), ('dx', x.icd_dgns_cd15), ('dx', x.icd_dgns_cd16), ('dx',
             x.icd_dgns_cd17), ('dx', x.icd_dgns_cd18), ('dx', x.icd_dgns_cd19), ('dx', x.icd_dgns_cd20), ('dx', x.icd_dgns_cd21), ('dx',
             x.icd_dgns_cd22), ('dx', x.icd_dgns_cd23), ('dx', x.icd_dgns_cd24), ('dx', x.icd_dgns_cd25), ('cause', x.icd_dgns_e_cd1), ('cause',
             x.icd_dgns_e_cd2), ('cause', x.icd_dgns_e_cd3), ('cause', x.icd_dgns_e_cd4), ('cause', x.icd_dgns_e_cd5), ('cause', x.icd_dgns_e_cd6),
             ('cause', x.icd_dgns_e_cd7), ('cause', x.icd_dgns_e_cd8), ('cause', x.icd_dgns_e_cd9), ('cause', x.icd_dgns_e_cd10), ('cause',
             x.icd_dgns_e_cd11), ('cause', x.icd_dgns_e_cd12)) AS v (kind, code)
           WHERE trim(v.code) <> ''
           UNION ALL
           SELECT DISTINCT x.bene_id, 'snf' || x.clm_id AS claim, v.kind, trim(v.code) AS code FROM rif.snf x
           CROSS JOIN LATERAL (VALUES ('admitting', x.admtg_dgns_cd), ('dx', x.prncpal_dgns_cd), ('cause', x.fst_dgns_e_cd), ('dx', x.icd_dgns_cd1),
             ('dx', x.icd_dgns_cd2), ('dx', x.icd_dgns_cd3), ('dx', x.icd_dgns_cd4), ('dx', x.icd_dgns_cd5), ('dx', x.icd_dgns_cd6), ('dx',
             x.icd_dgns_cd7), ('dx', x.icd_dgns_cd8), ('dx', x.icd_dgns_cd9), ('dx', x.icd_dgns_cd10), ('dx', x.icd_dgns_cd11), ('dx',
             x.icd_dgns_cd12), ('dx', x.icd_dgns_cd13), ('dx', x.icd_dgns_cd14), ('dx', x.icd_dgns_cd15), ('dx', x.icd_dgns_cd16), ('dx',
             x.icd_dgns_cd17), ('dx', x.icd_dgns_cd18), ('dx', x.icd_dgns_cd19), ('dx', x.icd_dgns_cd20), ('dx', x.icd_dgns_cd21), ('dx',
             x.icd_dgns_cd22), ('dx', x.icd_dgns_cd23), ('dx', x.icd_dgns_cd24), ('dx', x.icd_dgns_cd25), ('cause', x.icd_dgns_e_cd1), ('cause',
             x.icd_dgns_e_cd2), ('cause', x.icd_dgns_e_cd3), ('cause', x.icd_dgns_e_cd4), ('cause', x.icd_dgns_e_cd5), ('cause', x.icd_dgns_e_cd6),
             ('cause', x.icd_dgns_e_cd7), ('cause', x.icd_dgns_e_cd8), ('cause', x.icd_dgns_e_cd9), ('cause', x.icd_dgns_e_cd10), ('cause',
             x.icd_dgns_e_cd11), ('cause', x.icd_dgns_e_cd12)) AS v (kind, code)
           WHERE trim(v.code) <> ''
           UNION ALL
           SELECT DISTINCT x.bene_id, 'outpatient' || x.clm_id AS claim, v.kind, trim(v.code) AS code FROM rif.outpatient x
           CROSS JOIN LATERAL (VALUES ('dx', x.prncpal_dgns_cd), ('cause', x.fst_dgns_e_cd), ('dx', x.icd_dgns_cd1), ('dx', x.icd_dgns_cd2), ('dx',
             x.icd_dgns_cd3), ('dx', x.icd_dgns_cd4), ('dx', x.icd_dgns_cd5), ('dx', x.icd_dgns_cd6), ('dx', x.icd_dgns_cd7), ('dx', x.icd_dgns_cd8),
             ('dx', x.icd_dgns_cd9), ('dx', x.icd_dgns_cd10), ('dx', x.icd_dgns_cd11), ('dx', x.icd_dgns_cd12), ('dx', x.icd_dgns_cd13), ('dx',
             x.icd_dgns_cd14), ('dx', x.icd_dgns_cd15), ('dx', x.icd_dgns_cd16), ('dx', x.icd_dgns_cd17), ('dx', x.icd_dgns_cd18), ('dx',
             x.icd_dgns_cd19), ('dx', x.icd_dgns_cd20), ('dx', x.icd_dgns_cd21), ('dx', x.icd_dgns_cd22), ('dx', x.icd_dgns_cd23), ('dx',
             x.icd_dgns_cd24), ('dx', x.icd_dgns_cd25), ('cause', x.icd_dgns_e_cd1), ('cause', x.icd_dgns_e_cd2), ('cause', x.icd_dgns_e_cd3),
             ('cause', x.icd_dgns_e_cd4), ('cause', x.icd_dgns_e_cd5), ('cause', x.icd_dgns_e_cd6), ('cause', x.icd_dgns_e_cd7), ('cause',
             x.icd_dgns_e_cd8), ('cause', x.icd_dgns_e_cd9), ('cause', x.icd_dgns_e_cd10), ('cause', x.icd_dgns_e_cd11), ('cause', x.icd_dgns_e_cd12),
             ('reason', x.rsn_visit_cd1), ('reason', x.rsn_visit_cd2), ('reason', x.rsn_visit_cd3)) AS v (kind, code)
           WHERE trim(v.code) <> ''
           UNION ALL
           SELECT DISTINCT x.bene_id, 'hha' || x.clm_id AS claim, v.kind, trim(v.code) AS code FROM rif.hha x
           CROSS JOIN LATERAL (VALUES ('dx', x.prncpal_dgns_cd), ('cause', x.fst_dgns_e_cd), ('dx', x.icd_dgns_cd1), ('dx', x.icd_dgns_cd2), ('dx',
             x.icd_dgns_cd3), ('dx', x.icd_dgns_cd4), ('dx', x.icd_dgns_cd5), ('dx', x.icd_dgns_cd6), ('dx', x.icd_dgns_cd7), ('dx', x.icd_dgns_cd8),
             ('dx', x.icd_dgns_cd9), ('dx', x.icd_dgns_cd10), ('dx', x.icd_dgns_cd11), ('dx', x.icd_dgns_cd12), ('dx', x.icd_dgns_cd13), ('dx',
             x.icd_dgns_cd14), ('dx', x.icd_dgns_cd15), ('dx', x.icd_dgns_cd16), ('dx', x.icd_dgns_cd17), ('dx', x.icd_dgns_cd18), ('dx',
             x.icd_dgns_cd19), ('dx', x.icd_dgns_cd20), ('dx', x.icd_dgns_cd21), ('dx', x.icd_dgns_cd22), ('dx', x.icd_dgns_cd23), ('dx',
             x.icd_dgns_cd24), ('dx', x.icd_dgns_cd25), ('cause', x.icd_dgns_e_cd1), ('cause', x.icd_dgns_e_cd2), ('cause', x.icd_dgns_e_cd3),
             ('cause', x.icd_dgns_e_cd4), ('cause', x.icd_dgns_e_cd5), ('cause', x.icd_dgns_e_cd6), ('cause', x.icd_dgns_e_cd7), ('cause',
             x.icd_dgns_e_cd8), ('cause', x.icd_dgns_e_cd9), ('cause', x.icd_dgns_e_cd10), ('cause', x.icd_dgns_e_cd11), ('cause', x.icd_dgns_e_cd12))
             AS v (kind, code)
           WHERE trim(v.code) <> ''
           UNION ALL
           SELECT DISTINCT x.bene_id, 'hospice' || x.clm_id AS claim, v.kind, trim(v.code) AS code FROM rif.hospice x
           CROSS JOIN LATERAL (VALUES ('dx', x.prncpal_dgns_cd), ('cause', x.fst_dgns_e_cd), ('dx', x.icd_dgns_cd1), ('dx', x.icd_dgns_cd2), ('dx',
             x.icd_dgns_cd3), ('dx', x.icd_dgns_cd4), ('dx', x.icd_dgns_cd5), ('dx', x.icd_dgns_cd6), ('dx', x.icd_dgns_cd7), ('dx', x.icd_dgns_cd8),
             ('dx', x.icd_dgns_cd9), ('dx', x.icd_dgns_cd10), ('dx', x.icd_dgns_cd11), ('dx', x.icd_dgns_cd12), ('dx', x.icd_dgns_cd13), ('dx',
             x.icd_dgns_cd14), ('dx', x.icd_dgns_cd15), ('dx', x.icd_dgns_cd16), ('dx', x.icd_dgns_cd17), ('dx', x.icd_dgns_cd18), ('dx',
             x.icd_dgns_cd19), ('dx', x.icd_dgns_cd20), ('dx', x.icd_dgns_cd21), ('dx', x.icd_dgns_cd22), ('dx', x.icd_dgns_cd23), ('dx',
             x.icd_dgns_cd24), ('dx', x.icd_dgns_cd25), ('cause', x.icd_dgns_e_cd1), ('cause', x.icd_dgns_e_cd2), ('cause', x.icd_dgns_e_cd3),
             ('cause', x.icd_dgns_e_cd4), ('cause', x.icd_dgns_e_cd5), ('cause', x.icd_dgns_e_cd6), ('cause', x.icd_dgns_e_cd7), ('cause',
             x.icd_dgns_e_cd8), ('cause', x.icd_dgns_e_cd9), ('cause', x.icd_dgns_e_cd10), ('cause', x.icd_dgns_e_cd11), ('cause', x.icd_dgns_e_cd12))
             AS v (kind, code)
           WHERE trim(v.code) <> '') x
           GROUP BY bene_id) d ON d.bene_id = b.bene_id
