"""Which answers of the assistant stand in their conversation."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("ai", "0005_versions_forgotten")]

    operations = [
        migrations.AddField(model_name="airesponse", name="said_at", field=models.DateTimeField(null=True)),
    ]
