SELECT u.npi, u.ccn, u.zip, max(h.prvdr_lgl_name) AS prvdr_lgl_name,
       CASE WHEN length(u.npi) = 10 AND translate(u.npi, '0123456789', '') = '' THEN
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
            ELSE false END AS checked
FROM (SELECT coalesce(c.prvdr_blg_prvdr_npi_num, split_part(c.clm_srvc_prvdr_gnrc_id_num, '.', 1)) AS npi,
             coalesce(nullif(trim(c.clm_blg_prvdr_oscar_num), '~'), '-') AS ccn, coalesce(nullif(trim(c.clm_blg_prvdr_zip5_cd), '~'), '-') AS zip,
             length(c.clm_type_cd) > 1 AND c.clm_type_cd NOT IN ('71', '72', '81', '82') AND right(c.clm_type_cd, 3) NOT IN ('700', '800') AS institutional
      FROM claim_rows c) u
LEFT JOIN known_provider h ON h.npi = u.npi
WHERE nullif(nullif(u.npi, '~'), '') IS NOT NULL AND (h.npi IS NULL OR h.prvdr_lgl_name IS NOT NULL OR u.institutional)
GROUP BY u.npi, u.ccn, u.zip
