SELECT coalesce(c.prvdr_blg_prvdr_npi_num, c.clm_srvc_prvdr_gnrc_id_num) AS npi, coalesce(c.clm_blg_prvdr_oscar_num, c.prvdr_blg_prvdr_oscar_num, '-') AS ccn,
       coalesce(c.clm_blg_prvdr_zip5_cd, '-') AS zip, coalesce(c.clm_blg_prvdr_tax_num, '-') AS tax
FROM claim_rows c
WHERE coalesce(c.prvdr_blg_prvdr_npi_num, c.clm_srvc_prvdr_gnrc_id_num) IS NOT NULL
GROUP BY 1, 2, 3, 4
