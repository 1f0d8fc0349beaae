SELECT u.npi, h.prvdr_1st_name, h.prvdr_mdl_name, h.prvdr_last_name, h.taxonomy
FROM (SELECT DISTINCT r.npi
      FROM (SELECT v.npi FROM claim_rows c
            CROSS JOIN LATERAL (VALUES (c.clm_atndg_prvdr_npi_num), (c.clm_oprtg_prvdr_npi_num), (c.clm_othr_prvdr_npi_num), (c.clm_rndrg_prvdr_npi_num),
              (c.prvdr_rfrg_prvdr_npi_num), (c.prvdr_prscrbng_prvdr_npi_num), (c.prvdr_blg_prvdr_npi_num), (split_part(c.clm_srvc_prvdr_gnrc_id_num, '.', 1))) AS v(npi)
            UNION SELECT l.clm_rndrg_prvdr_npi_num FROM line_rows l) r
      WHERE nullif(nullif(r.npi, '~'), '') IS NOT NULL) u
LEFT JOIN known_provider h ON h.npi = u.npi
WHERE CASE WHEN length(u.npi) = 10 AND translate(u.npi, '0123456789', '') = '' THEN
              mod(24
                     + CASE WHEN CAST(substr(u.npi, 1, 1) AS INTEGER) < 5 THEN 2 * CAST(substr(u.npi, 1, 1) AS INTEGER) ELSE 2 * CAST(substr(u.npi, 1, 1) AS INTEGER) - 9 END
                     + CAST(substr(u.npi, 2, 1) AS INTEGER)
                     + CASE WHEN CAST(substr(u.npi, 3, 1) AS INTEGER) < 5 THEN 2 * CAST(substr(u.npi, 3, 1) AS INTEGER) ELSE 2 * CAST(substr(u.npi, 3, 1) AS INTEGER) - 9 END
                     + CAST(substr(u.npi, 4, 1) AS INTEGER)
                     + CASE WHEN CAST(substr(u.npi, 5, 1) AS INTEGER) < 5 THEN 2 * CAST(substr(u.npi, 5, 1) AS INTEGER) ELSE 2 * CAST(substr(u.npi, 5, 1) AS INTEGER) - 9 END
                     + CAST(substr(u.npi, 6, 1) AS INTEGER)
                     + CASE WHEN CAST(substr(u.npi, 7, 1) AS INTEGER) < 5 THEN 2 * CAST(substr(u.npi, 7, 1) AS INTEGER) ELSE 2 * CAST(substr(u.npi, 7, 1) AS INTEGER) - 9 END
                     + CAST(substr(u.npi, 8, 1) AS INTEGER)
                     + CASE WHEN CAST(substr(u.npi, 9, 1) AS INTEGER) < 5 THEN 2 * CAST(substr(u.npi, 9, 1) AS INTEGER) ELSE 2 * CAST(substr(u.npi, 9, 1) AS INTEGER) - 9 END
                     + CAST(substr(u.npi, 10, 1) AS INTEGER), 10) = 0
            ELSE false END
