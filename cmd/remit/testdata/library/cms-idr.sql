WITH own AS (
  SELECT DISTINCT h.bene_sk,
         CASE WHEN EXISTS (SELECT 1 FROM idr.bene_hstry t WHERE t.bene_sk = h.bene_xref_efctv_sk)
               AND NOT EXISTS (SELECT 1 FROM idr.bene_xref x WHERE x.bene_sk = h.bene_xref_efctv_sk AND x.bene_xref_sk = h.bene_sk AND x.bene_kill_cred_cd = '1')
              THEN h.bene_xref_efctv_sk ELSE h.bene_sk END AS person_sk
  FROM idr.bene_hstry h
), claim AS (
  SELECT o.person_sk, k.geo_bene_sk, k.clm_dt_sgntr_sk, k.clm_type_cd, k.clm_num_sk, k.clm_pmt_amt
  FROM idr.clm k JOIN own o ON o.bene_sk = k.bene_sk
)
SELECT p.person_sk AS member, coalesce(c.claims, 0) AS claims, coalesce(l.lines, 0) AS lines, coalesce(d.diagnoses, 0) AS diagnoses,
       coalesce(l.charge, 0) AS charge, coalesce(c.paid, 0) AS paid
FROM (SELECT DISTINCT person_sk FROM own) p
LEFT JOIN (SELECT person_sk, count(*) AS claims, sum(round(clm_pmt_amt, 2)) AS paid FROM claim GROUP BY person_sk) c ON c.person_sk = p.person_sk
LEFT JOIN (SELECT k.person_sk, count(*) AS lines, sum(round(n.clm_line_sbmt_chrg_amt, 2)) AS charge
           FROM claim k
           JOIN idr.clm_line n ON n.geo_bene_sk = k.geo_bene_sk AND n.clm_dt_sgntr_sk = k.clm_dt_sgntr_sk AND n.clm_type_cd = k.clm_type_cd AND n.clm_num_sk = k.clm_num_sk
           GROUP BY k.person_sk) l ON l.person_sk = p.person_sk
LEFT JOIN (SELECT x.person_sk, count(*) AS diagnoses
           FROM (SELECT DISTINCT k.person_sk, k.geo_bene_sk, k.clm_dt_sgntr_sk, k.clm_type_cd, k.clm_num_sk, trim(g.clm_dgns_cd) AS code
                 FROM claim k
                 JOIN idr.clm_prod g ON g.geo_bene_sk = k.geo_bene_sk AND g.clm_dt_sgntr_sk = k.clm_dt_sgntr_sk AND g.clm_type_cd = k.clm_type_cd AND g.clm_num_sk = k.clm_num_sk
                 WHERE trim(g.clm_dgns_cd) NOT IN ('', '~')) x
           GROUP BY x.person_sk) d ON d.person_sk = p.person_sk
