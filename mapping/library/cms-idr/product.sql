SELECT p.geo_bene_sk, p.clm_dt_sgntr_sk, p.clm_type_cd, p.clm_num_sk, p.clm_prod_type_cd, p.clm_val_sqnc_num,
       p.clm_dgns_cd, p.clm_dgns_prcdr_icd_ind, p.clm_poa_ind, p.clm_prcdr_cd, p.clm_prcdr_prfrm_dt,
       CASE p.clm_prod_type_cd WHEN 'P' THEN 1 WHEN 'A' THEN 2 WHEN '1' THEN 3 WHEN 'E' THEN 4 WHEN 'R' THEN 5 ELSE 6 END AS rank,
       row_number() OVER (PARTITION BY p.geo_bene_sk, p.clm_dt_sgntr_sk, p.clm_type_cd, p.clm_num_sk, p.clm_dgns_cd
                          ORDER BY CASE p.clm_prod_type_cd WHEN 'E' THEN 1 WHEN '1' THEN 2 WHEN 'P' THEN 3 WHEN 'A' THEN 4 ELSE 5 END, p.clm_prod_type_cd, p.clm_val_sqnc_num) AS mention,
       max(nullif(nullif(p.clm_poa_ind, '~'), '')) OVER (PARTITION BY p.geo_bene_sk, p.clm_dt_sgntr_sk, p.clm_type_cd, p.clm_num_sk, p.clm_dgns_cd) AS poa
FROM idr.clm_prod p
