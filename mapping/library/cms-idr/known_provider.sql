SELECT x.prvdr_npi_num AS npi, x.prvdr_1st_name, x.prvdr_mdl_name, x.prvdr_last_name, x.prvdr_lgl_name, nullif(x.prvdr_txnmy_cmpst_cd, '~') AS taxonomy
FROM (SELECT y.*, row_number() OVER (PARTITION BY y.prvdr_npi_num ORDER BY y.prvdr_hstry_obslt_dt DESC, y.prvdr_hstry_efctv_dt DESC, y.prvdr_sk) AS version
      FROM idr.prvdr_hstry y) x
WHERE x.version = 1
