SELECT 'cms' AS payer
