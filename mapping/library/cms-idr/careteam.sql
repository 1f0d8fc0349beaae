SELECT t.*, h.taxonomy,
       CASE WHEN length(t.npi) = 10 AND translate(t.npi, '0123456789', '') = '' THEN
              mod(24
                     + CASE WHEN CAST(substr(t.npi, 1, 1) AS INTEGER) < 5 THEN 2 * CAST(substr(t.npi, 1, 1) AS INTEGER) ELSE 2 * CAST(substr(t.npi, 1, 1) AS INTEGER) - 9 END
                     + CAST(substr(t.npi, 2, 1) AS INTEGER)
                     + CASE WHEN CAST(substr(t.npi, 3, 1) AS INTEGER) < 5 THEN 2 * CAST(substr(t.npi, 3, 1) AS INTEGER) ELSE 2 * CAST(substr(t.npi, 3, 1) AS INTEGER) - 9 END
                     + CAST(substr(t.npi, 4, 1) AS INTEGER)
                     + CASE WHEN CAST(substr(t.npi, 5, 1) AS INTEGER) < 5 THEN 2 * CAST(substr(t.npi, 5, 1) AS INTEGER) ELSE 2 * CAST(substr(t.npi, 5, 1) AS INTEGER) - 9 END
                     + CAST(substr(t.npi, 6, 1) AS INTEGER)
                     + CASE WHEN CAST(substr(t.npi, 7, 1) AS INTEGER) < 5 THEN 2 * CAST(substr(t.npi, 7, 1) AS INTEGER) ELSE 2 * CAST(substr(t.npi, 7, 1) AS INTEGER) - 9 END
                     + CAST(substr(t.npi, 8, 1) AS INTEGER)
                     + CASE WHEN CAST(substr(t.npi, 9, 1) AS INTEGER) < 5 THEN 2 * CAST(substr(t.npi, 9, 1) AS INTEGER) ELSE 2 * CAST(substr(t.npi, 9, 1) AS INTEGER) - 9 END
                     + CAST(substr(t.npi, 10, 1) AS INTEGER), 10) = 0
            ELSE false END AS checked
FROM (
SELECT DISTINCT c.geo_bene_sk, c.clm_dt_sgntr_sk, c.clm_type_cd, c.clm_num_sk, r.rank, r.role, r.npi
FROM idr.clm c
CROSS JOIN LATERAL (VALUES (1, 'attending', c.clm_atndg_prvdr_npi_num), (2, 'operating', c.clm_oprtg_prvdr_npi_num), (3, 'otheroperating', c.clm_othr_prvdr_npi_num),
  (4, 'rendering', c.clm_rndrg_prvdr_npi_num), (5, 'referring', c.prvdr_rfrg_prvdr_npi_num), (6, 'prescribing', c.prvdr_prscrbng_prvdr_npi_num)) AS r(rank, role, npi)
WHERE nullif(nullif(r.npi, '~'), '') IS NOT NULL
UNION
SELECT l.geo_bene_sk, l.clm_dt_sgntr_sk, l.clm_type_cd, l.clm_num_sk, 4, 'rendering', l.clm_rndrg_prvdr_npi_num
FROM idr.clm_line l
WHERE nullif(nullif(l.clm_rndrg_prvdr_npi_num, '~'), '') IS NOT NULL
) t
LEFT JOIN known_provider h ON h.npi = t.npi
