SELECT DISTINCT r.npi
FROM (SELECT v.npi FROM claim_rows c CROSS JOIN LATERAL (VALUES (1, 'attending', c.prvdr_atndg_prvdr_npi_num), (2, 'operating', c.prvdr_oprtg_prvdr_npi_num), (3, 'otheroperating', coalesce(c.prvdr_othr_prvdr_npi_num, c.clm_othr_prvdr_npi_num)),
  (4, 'rendering', coalesce(c.prvdr_rndrng_prvdr_npi_num, c.clm_rndrg_prvdr_npi_num)), (6, 'prescribing', c.prvdr_prscrbng_prvdr_npi_num)) AS v(rank, role, npi)
      UNION SELECT e.line ->> 'PRVDR_RNDRNG_PRVDR_NPI_NUM' FROM lines e) r
WHERE r.npi IS NOT NULL
