SELECT c.clm_uniq_id, c.clm_type_cd, r.rank, r.role, r.npi, max(r.specialty) AS specialty
FROM (SELECT c.clm_uniq_id, c.clm_type_cd, r.rank, r.role, r.npi,
             CASE r.role WHEN 'attending' THEN c.clm_atndg_fed_prvdr_spclty_cd WHEN 'rendering' THEN c.clm_rndrng_fed_prvdr_spclty_cd END AS specialty
      FROM flat.claim c CROSS JOIN LATERAL (VALUES (1, 'attending', c.prvdr_atndg_prvdr_npi_num), (2, 'operating', c.prvdr_oprtg_prvdr_npi_num), (3, 'otheroperating', coalesce(c.prvdr_othr_prvdr_npi_num, c.clm_othr_prvdr_npi_num)),
  (4, 'rendering', coalesce(c.prvdr_rndrng_prvdr_npi_num, c.clm_rndrg_prvdr_npi_num)), (6, 'prescribing', c.prvdr_prscrbng_prvdr_npi_num)) AS r(rank, role, npi)
      WHERE r.npi IS NOT NULL
      UNION ALL
      SELECT e.clm_uniq_id, e.clm_type_cd, 4, 'rendering', e.line ->> 'PRVDR_RNDRNG_PRVDR_NPI_NUM', e.line ->> 'CLM_RNDRG_FED_PRVDR_SPCLTY_CD'
      FROM lines e WHERE (e.line ->> 'PRVDR_RNDRNG_PRVDR_NPI_NUM') IS NOT NULL) r
JOIN flat.claim c ON c.clm_uniq_id = r.clm_uniq_id AND c.clm_type_cd = r.clm_type_cd
GROUP BY c.clm_uniq_id, c.clm_type_cd, r.rank, r.role, r.npi
