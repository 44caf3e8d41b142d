from django.db import migrations, models

from doran.kernel.outbox.migrating import give_lanes


class Migration(migrations.Migration):
    dependencies = [("ai", "0001_initial")]

    operations = [
        migrations.CreateModel(
            name="OutboxLease",
            fields=[
                ("lane", models.PositiveSmallIntegerField(primary_key=True, serialize=False)),
                ("owner", models.CharField(default="", max_length=64)),
                ("until", models.DateTimeField(null=True)),
                ("wanted_by", models.CharField(default="", max_length=64)),
            ],
            options={"abstract": False},
        ),
        migrations.RemoveField(model_name="outbox", name="attempts"),
        migrations.RemoveField(model_name="outbox", name="retry_at"),
        migrations.AddField(
            model_name="outbox",
            name="lane",
            field=models.PositiveSmallIntegerField(default=0),
            preserve_default=False,
        ),
        give_lanes("ai"),
        migrations.AddField(model_name="deadletter", name="again", field=models.BooleanField(default=False)),
        migrations.AddIndex(
            model_name="deadletter",
            index=models.Index(fields=["subscription", "again"], name="ai_dead_letter_again"),
        ),
    ]
