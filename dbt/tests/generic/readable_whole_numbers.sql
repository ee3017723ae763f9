{#-
Return the values from which a model could read no whole number, such as `five`, `5/5` or `★★★★★`, each with the number of
its rows. They are read from `key` of the documents in the column `raw` of the table `documents`.
-#}
{% test readable_whole_numbers(model, column_name, documents, raw, key) %}

with unread as (

    select
        _file,
        _file_row
    from {{ model }}
    where {{ column_name }} is null

),

as_sent as (

    select {{ json_text('documents.' ~ raw, key) }} as unread_value
    from unread
    inner join {{ documents }} as documents
        on unread._file = documents._file
            and unread._file_row = documents._file_row

)

select
    unread_value,
    count(*) as row_count
from as_sent
where unread_value is not null
group by unread_value

{% endtest %}
