import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('market_feed', '0001_initial'),
        ('stocks', '0002_initial'),
    ]

    operations = [
        migrations.DeleteModel(name='PublishCursor'),
        migrations.CreateModel(
            name='PublishCursor',
            fields=[
                ('stock', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='+', serialize=False, to='stocks.stock')),
                ('sequence', models.BigIntegerField(default=0)),
                ('updated_at', models.DateTimeField()),
            ],
            options={
                'ordering': ['stock'],
                'constraints': [models.CheckConstraint(condition=models.Q(('sequence__gte', 0)), name='publish_cursor_not_negative')],
            },
        ),
    ]
